"""What is computed of one window at a time."""
