"""Reads a run back: its directory, its log, the state that the log adds up to."""
