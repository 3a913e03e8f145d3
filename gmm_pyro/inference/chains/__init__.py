"""What samplers share: how chains begin, go on, mix, and become an outcome."""
