"""Japanese text: grouping, normalisation, words and readings."""
