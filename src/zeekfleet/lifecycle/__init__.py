"""The life of a node as pure logic: no I/O, no clock, no randomness of its own.

``transitions`` is the state table, ``revival`` decides how a process comes back,
``order`` tells who starts and stops before whom, ``cluster_view`` what a node must
know of the others and whom it must be connected to, ``reconcile`` compares what
should run with what does.
"""
