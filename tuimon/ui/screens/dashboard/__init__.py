"""Screen 1: state, loss, gap and layers at a glance."""
