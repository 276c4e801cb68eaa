"""Real Zeeks as nodes: launching them, checking their scripts, and reaching them."""
