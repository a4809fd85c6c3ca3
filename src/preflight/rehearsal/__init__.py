"""The experiment's own program, run short and watched: what it did, without an opinion."""
