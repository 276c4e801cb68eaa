"""Decides which peers are served, by who is at the other end of a connection.

This is pure: whoever creates an ``AccessControl`` gives it the function that asks the kernel.
"""
