"""Models that transformers decodes: Whisper and Qwen3-ASR."""
