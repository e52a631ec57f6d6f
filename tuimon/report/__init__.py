"""The text of `tuimon doctor`: the diagnosis of a run as lines. Pure: no clock, no files, no terminal."""
