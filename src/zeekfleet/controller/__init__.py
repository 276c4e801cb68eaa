"""The controller: validates, keeps and deploys configurations, and answers clients (protocol section 8)."""
