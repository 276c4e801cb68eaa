"""Pure logic about the life of a node: no I/O; the caller passes in clocks and randomness.

``states`` maps the words of stem, supervisor and agent for a node's state,
``transitions`` is the table of states, ``node_life`` follows one node through it.
``revival`` decides when a process is started again, ``stopping`` how long to wait
for its end, ``order`` which nodes start and stop first. ``cluster_view`` tells what a
node must know about the others, and ``reconcile`` compares what should run with
what runs.
"""
