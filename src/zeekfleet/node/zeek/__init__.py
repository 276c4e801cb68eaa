"""Real Zeeks as nodes: how they are launched, checked before, and reached."""
