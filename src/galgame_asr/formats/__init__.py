"""Formats of other runtimes: a room per format that params.yaml may name."""
