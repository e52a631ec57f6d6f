"""Starts a run: reads its config, finds the user's functions that the config names, starts the training process."""
