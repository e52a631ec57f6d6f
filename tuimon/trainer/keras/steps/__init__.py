"""Train and test functions, one for each mode, and the values read inside a step."""
