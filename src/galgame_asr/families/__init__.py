"""Families of models that can be trained: a room each."""
