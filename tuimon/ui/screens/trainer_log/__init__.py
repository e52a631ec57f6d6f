"""Screen 5: the training process's output."""
