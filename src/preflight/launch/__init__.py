"""From checks that say GO to a job that runs."""
