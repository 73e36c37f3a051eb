"""Whisper in the format of CTranslate2, as faster-whisper has it."""
