"""The records and enums of the protocol: frozen, typed, no I/O.

Each module holds one family: ``types`` (the scalar types of the fields), ``enums``,
``supervisor`` (``Supervisor::*``), ``management`` (``Management::*``), and what
zeekfleet adds to these.
"""
