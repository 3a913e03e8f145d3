"""How many components, and of what shape: mixtures of many sizes and families, side by side."""
