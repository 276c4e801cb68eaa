"""The agent: one an instance; runs the instance's part of the cluster through its supervisor (protocol section 6)."""
