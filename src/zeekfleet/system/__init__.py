"""What the kernel offers and Python's library does not: small wrappers, no idea of what they are used for."""
