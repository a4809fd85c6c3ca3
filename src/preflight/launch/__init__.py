"""From a commit to a running job: the straight line of a launch, and the ways of starting."""
