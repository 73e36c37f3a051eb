"""Auditing: labels of training rows held against what models hear."""
