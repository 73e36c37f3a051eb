"""Transcripts that some other program wrote."""
