"""What runs inside the program: imports the standard library and its neighbours only, all of them at the top."""
