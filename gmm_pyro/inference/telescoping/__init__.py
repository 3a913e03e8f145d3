"""Gibbs sampling where the number of components, their concentration or scale is unknown."""
