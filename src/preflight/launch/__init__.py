"""From a commit to a running job: the straight line of a launch, the ways of starting, and the gate in front."""
