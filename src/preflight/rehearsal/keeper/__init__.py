"""The process between preflight and the program: it makes the view, runs the program in it, ends all of it."""
