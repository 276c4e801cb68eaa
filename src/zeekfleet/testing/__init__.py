"""For tests of programs that use zeekfleet: a clock that stands still until it is moved.

Events without a network are in :mod:`zeekfleet.transport.memory`.
"""
