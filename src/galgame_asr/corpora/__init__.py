"""Sources of speech: a room per kind that params.yaml may name."""
