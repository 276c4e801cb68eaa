"""Settings of all tests."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# A noisy machine must not fail a test: what an example takes is nobody's business here.
settings.register_profile("zeekfleet", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=False)
settings.load_profile("zeekfleet")
