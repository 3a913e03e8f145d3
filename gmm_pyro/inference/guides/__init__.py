"""The Gaussians over unconstrained space that variational inference and Laplace's method fit."""
