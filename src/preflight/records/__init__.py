"""What is kept of each run: how it was started, what it saw, how it went on and how it ended."""
