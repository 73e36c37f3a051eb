"""One row per utterance of a corpus, with what is wrong with it."""
