"""A Gaussian mixture as a value: `GaussianMixture`, and its file."""

from .value import GaussianMixture

__all__ = ["GaussianMixture"]
