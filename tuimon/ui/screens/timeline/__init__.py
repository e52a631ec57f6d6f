"""Screen 4: what happened, in order."""
