"""Many runs: what is known of each, in which order, which of them, their tags, and how one is deleted."""
