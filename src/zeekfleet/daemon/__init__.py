"""The composition root: settings, signals and tasks around the roles. Imports everything; only ``cli`` imports it."""
