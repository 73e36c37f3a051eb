"""Whole audio and video files: transcribed and subtitled."""
