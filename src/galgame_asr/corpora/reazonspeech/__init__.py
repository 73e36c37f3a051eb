"""ReazonSpeech v2, over HTTP."""
