"""Texts made comparable, and compared character by character."""
