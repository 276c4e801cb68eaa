"""The composition root: builds and runs the daemons. It imports everything, and only ``cli`` imports it."""
