"""A run as it is read back: its directory, its log, the state that the log adds up to."""
