"""From settings to what the engine of real Zeeks is told: the same for who launches nodes and who checks them."""

from __future__ import annotations

from zeekfleet.node.zeek.engine import ZeekOptions
from zeekfleet.planning.layout import Backend
from zeekfleet.settings import SupervisorSettings


def zeek_options(own: SupervisorSettings) -> ZeekOptions:
    """What the operator chose."""
    return ZeekOptions(
        Backend(own.backend),
        own.zeromq_xpub_port,
        own.zeromq_xsub_port,
        rotation_interval=own.rotation_interval,
    )
