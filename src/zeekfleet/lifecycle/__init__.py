"""The life of a node as pure logic: no I/O, no clock, no randomness of its own.

``transitions`` is the state table, ``revival`` decides how a process comes back,
``order`` tells who starts and stops before whom, ``reconcile`` compares what
should run with what does.
"""
