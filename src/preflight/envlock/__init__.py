"""What is installed, written down exactly: environment.yml, conda-lock.yml, and whether they still tell the truth."""
