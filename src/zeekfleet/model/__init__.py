"""The records and enums of the protocol: frozen, typed, no I/O.

One module a family: ``types`` (the scalar types records are made of), ``enums``,
``supervisor`` (``Supervisor::*``), ``management`` (``Management::*``).
"""
