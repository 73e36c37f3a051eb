"""Japanese text: grouping and normalisation."""
