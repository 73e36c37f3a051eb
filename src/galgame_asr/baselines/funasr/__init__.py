"""Models of funasr, by its AutoModel."""
