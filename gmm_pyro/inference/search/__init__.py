"""The likeliest mixture, not the nearest: starts screened fairly, then moves between solutions."""
