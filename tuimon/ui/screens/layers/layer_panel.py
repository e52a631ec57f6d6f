"""The base of the panels about one layer."""

from tuimon.ui.drawing.cell_view import CellView


class LayerPanel(CellView):
    """A panel about the layer under the cursor, or one that marks it."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._path: str | None = None

    def show_layer(self, path: str | None) -> None:
        """Show the layer at ``path``; None in a model without one."""
        if path != self._path:
            self._path = path
            self.redraw()
