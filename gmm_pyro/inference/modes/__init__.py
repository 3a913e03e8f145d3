"""Modes of a posterior: where they are, which are the same, and how much of it is around each."""
