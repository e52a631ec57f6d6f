"""The base of the panels about one layer."""

from tuimon.text import plain
from tuimon.ui.drawing.cell_view import CellView
from tuimon.ui.drawing.names import fit_apart
from tuimon.ui.viewer.moment import Moment


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

    def layer_name(self, moment: Moment, width: int) -> str:
        """Return the path of the layer in at most ``width`` cells, told apart from those of the other layers."""
        paths = list(dict.fromkeys([*moment.state.layers, self._path or ""]))
        return fit_apart(tuple(map(plain, paths)), width)[paths.index(self._path or "")]
