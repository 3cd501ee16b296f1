"""Cases against peers that nobody here wrote, and against ourselves."""
