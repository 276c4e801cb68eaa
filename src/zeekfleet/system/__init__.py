"""Small wrappers of what the kernel offers and Python's library lacks. They know nothing of nodes or daemons."""
