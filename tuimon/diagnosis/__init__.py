"""Rules that find what is wrong with a run, why, and what to do. Pure functions of the state."""
