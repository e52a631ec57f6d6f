"""Screen 8: several runs side by side."""
