"""Decoding: from audio to text, in batches."""
