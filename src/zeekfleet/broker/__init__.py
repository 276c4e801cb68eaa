"""Broker's data model, the events, and the wire protocol without its I/O."""
