"""Axes, ticks, smoothing and braille dots, shared by the app and the report."""
