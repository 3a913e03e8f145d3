"""Searches for a mode: steps, coordinates, curvatures, and spikes that are no mode."""
