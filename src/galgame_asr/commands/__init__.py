"""One module per command of `galgame-asr`: its arguments, and what it does."""
