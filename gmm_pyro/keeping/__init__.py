"""What long runs keep in a folder as they go, so that they go on from there, to the last bit."""
