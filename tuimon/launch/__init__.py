"""Starts a run: its config, the user's code that it names, the training process."""
