"""Screen 7: the run, its model and its settings."""
