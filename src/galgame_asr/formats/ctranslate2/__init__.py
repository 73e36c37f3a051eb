"""Whisper for CTranslate2."""
