"""AISHELL-1, one archive."""
