"""Sizes of a terminal: one with room for everything, and the smallest that is usual."""

WIDE, NARROW = (200, 50), (80, 24)
SIZES = [WIDE, NARROW]
