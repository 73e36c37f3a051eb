"""Subtitles: transcribed speech as cues that can be read, in files that players open."""
