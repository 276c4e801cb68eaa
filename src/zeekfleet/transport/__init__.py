"""Endpoints: how the roles exchange events, over WebSocket or in memory."""
