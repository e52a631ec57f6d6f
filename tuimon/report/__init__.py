"""What `tuimon doctor` prints: a run's diagnosis as lines of text. Pure: no clock, no files, no terminal."""
