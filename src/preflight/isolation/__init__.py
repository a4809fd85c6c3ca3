"""One piece of work in a child process of its own, and what its ending means."""
