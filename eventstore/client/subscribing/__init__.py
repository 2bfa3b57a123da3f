"""What the subscriber runtime is made of: projectors, reactors, parking, checkpoints."""
