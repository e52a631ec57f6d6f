"""Numbers on axes and dots in cells: what charts need, on a terminal and on a page."""
