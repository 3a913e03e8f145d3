"""Whole files or none, and nothing but arrays and JSON in them."""
