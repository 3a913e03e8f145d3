"""The likeliest mixture, not the nearest: fair screening of starts, then moves from mode to mode."""
