"""Cells with a character and a style, and the views that show them."""
