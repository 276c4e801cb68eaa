"""The two kinds of cluster nodes, real Zeeks and simulated nodes, and how agents reach them.

An *engine* turns a ``Supervisor::NodeConfig`` into a ``LaunchSpec``; the module
``engines`` chooses one. ``link`` reads the variables by which a node and its agent
find each other.
"""
