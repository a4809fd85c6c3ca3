"""Views of a Report; none of them judges."""
