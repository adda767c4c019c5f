"""A simulated event camera, and scenes to put before it."""
