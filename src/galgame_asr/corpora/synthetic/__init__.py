"""Speech rendered from the project's own sentences."""
