"""The agent of an instance: it has the supervisor run the instance's nodes (docs/protocol.md, section 6)."""
