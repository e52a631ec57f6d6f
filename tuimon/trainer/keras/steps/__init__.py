"""Train and test functions, one for each mode, and what is read inside a step."""
