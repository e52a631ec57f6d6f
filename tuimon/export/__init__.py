"""Writes a run in the formats of other programs."""
