"""Reads the log of a run: the facts in its lines, and what lies in its place where it is damaged or gone."""
