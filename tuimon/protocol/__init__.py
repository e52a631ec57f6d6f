"""The types of facts and requests, and how they are written as JSON."""
