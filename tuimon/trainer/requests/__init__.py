"""Takes requests, carries them out and answers each with a fact."""
