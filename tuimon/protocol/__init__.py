"""What goes over a run directory: events, requests, and how both are written as JSON."""
