"""Screen 6: the load of this machine."""
