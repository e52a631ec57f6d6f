"""Textual's app without what it draws, keeps and styles for nothing."""

from typing import Any

from textual._styles_cache import StylesCache
from textual.app import App
from textual.await_complete import AwaitComplete
from textual.screen import Screen


class LeanApp(App[str]):
    """Styles nothing before there is anything, draws nothing that cannot be seen, and forgets pages that are closed."""

    def refresh_css(self, animate: bool = True) -> None:
        """Style everything anew; before there is anything, only choose the colours that it will have."""
        if self.screen_stack:
            super().refresh_css(animate)
        else:
            self.stylesheet.set_variables(self.get_css_variables())

    def pop_screen(self) -> AwaitComplete:
        """Close the screen on top; the dashboard stays, however often something closes itself.

        Textual's command palette does so twice when it is clicked while it closes, and that would end the program.
        """
        # By a cache of one of its methods, Textual keeps all rows that the last 1,024 of these objects have drawn.
        StylesCache.get_inner_outer.cache_clear()
        return super().pop_screen() if len(self.screen_stack) > 1 else AwaitComplete.nothing()  # type: ignore[no-untyped-call]

    @property
    def _background_screens(self) -> list[Screen[Any]]:
        """The screens below a page that can be seen: through an opaque one nothing is, and nothing is to be drawn."""
        return [] if self.screen.styles.background.a == 1 else super()._background_screens
