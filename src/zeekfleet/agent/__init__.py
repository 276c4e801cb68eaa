"""The agent of an instance: runs its nodes through its supervisor (docs/protocol.md, section 6)."""
