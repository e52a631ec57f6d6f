"""Sends what happens in a run to a command of the user's, from a process of its own."""
