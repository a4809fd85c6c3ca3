"""What is said of a failure whose true cause must be looked for."""
