"""Broker's data model, the events, and the wire protocol without I/O."""
