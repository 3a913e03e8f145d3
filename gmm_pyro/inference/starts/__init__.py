"""Where a fit begins: starting values, and the distinct solutions that EM's restarts lead to."""
