"""How many components, and how sure their parameters are: the bootstrap."""
