"""Charts: canvas, axes and curves, shared by the screens."""
