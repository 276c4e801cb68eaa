"""Who is at the other end of a connection, and whether it is served. Pure: the kernel is asked by who makes a Door."""
