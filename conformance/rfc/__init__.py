"""Properties of the standards, checked on what travelled."""
