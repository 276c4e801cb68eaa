"""The options of the Zeek engine, from the settings: the same for launching nodes and for checking them."""

from __future__ import annotations

from zeekfleet.node.zeek.engine import ZeekOptions
from zeekfleet.planning.layout import Backend
from zeekfleet.settings import SupervisorSettings


def zeek_options(own: SupervisorSettings) -> ZeekOptions:
    """The options that follow from the settings."""
    return ZeekOptions(
        Backend(own.backend),
        own.zeromq_xpub_port,
        own.zeromq_xsub_port,
        rotation_interval=own.rotation_interval,
    )
