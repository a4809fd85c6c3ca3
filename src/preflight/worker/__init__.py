"""What runs at a place: the worker, its stage, and the pytest session in each of them."""
