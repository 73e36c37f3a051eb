"""Tests of galgame_asr.messages."""
