"""The choices for charts: x axis, zoom, scale, smoothing and cursor."""

from typing import Annotated, Literal, TypeVar, get_args

from msgspec import Meta, Struct
from msgspec.structs import replace

from tuimon.plot.smoothing import SMOOTHINGS, STRENGTHS, Smoothing, nearest_strength
from tuimon.plot.x_axis import X_KINDS, XKind

ScaleChoice = Literal["auto", "linear", "log"]
SCALES: tuple[ScaleChoice, ...] = get_args(ScaleChoice)
GRIDS = ((1, 1), (1, 2), (2, 2), (2, 3), (3, 3))
"""Rows and columns of charts."""

Choice = TypeVar("Choice")

_LEAST_SPAN = 1e-3
"""Steps, epochs or seconds: no key zooms in further, and a much narrower axis has no ticks."""
_ZOOM = 0.5
_PAN = 0.2


class Viewport(Struct, frozen=True):
    """The choices for all charts of a screen."""

    x: XKind = "step"
    """The quantity on the x axis."""
    span: Annotated[float, Meta(ge=_LEAST_SPAN)] | None = None
    """The span of x that is shown; None: all of x."""
    first: float | None = None
    """The first x that is shown; None: the newest points are followed."""
    scale: ScaleChoice = "auto"
    """The scale of the values; `auto` is logarithmic where they are above 0 and far apart."""
    smoothing: Smoothing = "none"
    """The smoothing of the batch curve."""
    strength: Annotated[float, Meta(ge=0, lt=1)] = STRENGTHS[2]
    """The weight of the past in the smoothing."""
    cursor: float | None = None
    """The x at which values are read off; None: no cursor."""

    @property
    def follows(self) -> bool:
        """True while the newest points stay in view."""
        return self.first is None

    def window(self, whole: tuple[float, float]) -> tuple[float, float]:
        """Return the first and the last x that are shown, out of the whole range."""
        if self.span is None or self.span >= whole[1] - whole[0]:
            return whole
        first = whole[1] - self.span if self.first is None else max(whole[0], min(self.first, whole[1] - self.span))
        return first, first + self.span

    def with_next_x(self) -> "Viewport":
        """Return the viewport with the next x. Zoom and cursor belonged to the former x and go."""
        return replace(self, x=_next(X_KINDS, self.x), span=None, first=None, cursor=None)

    def with_next_scale(self) -> "Viewport":
        """Return the viewport on the next scale."""
        return replace(self, scale=_next(SCALES, self.scale))

    def with_next_smoothing(self) -> "Viewport":
        """Return the viewport with the next smoothing."""
        return replace(self, smoothing=_next(SMOOTHINGS, self.smoothing))

    def with_strength(self, by: int) -> "Viewport":
        """Return the viewport with more smoothing, or with less."""
        index = max(0, min(len(STRENGTHS) - 1, STRENGTHS.index(nearest_strength(self.strength)) + by))
        return replace(self, strength=STRENGTHS[index])

    def zoomed(self, whole: tuple[float, float], by: int, least: float, at: float | None = None) -> "Viewport":
        """Return the viewport with half the span, or with twice it, around a point, the cursor, or at the newest end.

        Args:
            whole: First and last x of the run.
            by: 1: nearer; -1: further away.
            least: The narrowest window.
            at: The x that keeps its place; None: the cursor, if there is one.
        """
        first, last = self.window(whole)
        span = (last - first) * (_ZOOM if by > 0 else 1 / _ZOOM)
        if span >= whole[1] - whole[0]:
            return replace(self, span=None, first=None)
        span = max(span, min(least, whole[1] - whole[0]))
        kept = self.cursor if at is None else at
        if kept is None:
            return replace(self, span=span, first=None if self.follows else last - span)
        share = (kept - first) / (last - first) if last > first else 1.0
        return replace(self, span=span, first=kept - max(0.0, min(1.0, share)) * span)

    def panned(self, whole: tuple[float, float], by: int) -> "Viewport":
        """Return the viewport moved left or right by a part of its span; it no longer follows the newest points."""
        first, last = self.window(whole)
        return self.moved(whole, by * _PAN * (last - first))

    def moved(self, whole: tuple[float, float], by: float) -> "Viewport":
        """Return the viewport moved along x by ``by``, where it does not show everything; it no longer follows."""
        if self.span is None:
            return self
        first, _ = self.window(whole)
        return replace(self, first=max(whole[0], min(first + by, whole[1] - self.span)))

    def following(self) -> "Viewport":
        """Return the viewport at the newest end, with the same span."""
        return replace(self, first=None, cursor=None)

    def all(self) -> "Viewport":
        """Return the viewport that shows all of x."""
        return replace(self, span=None, first=None)

    def at(self, cursor: float, whole: tuple[float, float]) -> "Viewport":
        """Return the viewport with the cursor at ``cursor``, moved along if the cursor would leave it."""
        cursor = max(whole[0], min(whole[1], cursor))
        first, last = self.window(whole)
        if self.span is not None and not first <= cursor <= last:
            return replace(self, cursor=cursor, first=first + cursor - (first if cursor < first else last))
        return replace(self, cursor=cursor)

    def without_cursor(self) -> "Viewport":
        """Return the viewport without a cursor."""
        return replace(self, cursor=None)


def _next(choices: tuple[Choice, ...], chosen: Choice) -> Choice:
    return choices[(choices.index(chosen) + 1) % len(choices)]
