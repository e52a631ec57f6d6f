"""Screen 2: every metric."""
