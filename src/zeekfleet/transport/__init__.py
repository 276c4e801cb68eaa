"""How agents, controllers, supervisors and nodes exchange events, over WebSocket or in memory."""
