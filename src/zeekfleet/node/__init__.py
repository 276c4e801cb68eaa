"""What runs as a cluster node, and how it is launched: a real Zeek, or a simulated node.

An *engine* turns a ``Supervisor::NodeConfig`` into a ``LaunchSpec``. The module
``engines`` chooses one, ``link`` names the variables that tell a node how it and
its agent find each other.
"""
