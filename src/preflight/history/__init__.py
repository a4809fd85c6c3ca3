"""What the runs of a project tell together: which there were, how figures went, what changed between two."""
