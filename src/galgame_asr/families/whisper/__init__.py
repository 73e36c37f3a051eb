"""Whisper of any size, on transformers' model class."""
