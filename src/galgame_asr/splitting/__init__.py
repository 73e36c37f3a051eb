"""Which utterances train, tune and test."""
