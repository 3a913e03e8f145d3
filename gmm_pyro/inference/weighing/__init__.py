"""The evidence: importance sampling from posteriors given assignments, and about the mode."""
