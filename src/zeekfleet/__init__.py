"""Cluster management for Zeek, outside Zeek."""

__version__ = "0.1.0"
