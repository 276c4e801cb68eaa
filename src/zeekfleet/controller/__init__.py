"""The controller: validates, keeps and deploys configurations, and answers clients (docs/protocol.md, section 8)."""
