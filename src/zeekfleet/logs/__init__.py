"""What the daemons and simulated nodes log.

``handlers`` for Python's ``logging``: stderr and the management log · ``file`` the management log itself, which needs
nothing of ``logging``.
"""
