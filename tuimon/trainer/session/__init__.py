"""Writes the log of a run."""
