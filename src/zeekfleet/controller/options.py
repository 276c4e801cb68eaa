"""A controller's options."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from zeekfleet.controller.certificates import Signer
from zeekfleet.controller.completion import PortAssignment
from zeekfleet.controller.notifications import NotificationLimits
from zeekfleet.model.defaults import CONTROLLER_PORT
from zeekfleet.planning.validate import Sizes
from zeekfleet.transport.encryption import Encryption, PlainText


class ControllerOptions(msgspec.Struct, frozen=True):
    """A controller's options.

    Attributes:
        name: the controller's name.
        port: its port for agents, or None if it has none.
        request_timeout: the base of all deadlines, in seconds.
        instance_wait: seconds that a deployment waits for missing instances; 0 for ``request_timeout``.
        assignment: which ports it fills in.
        check_before_deploy: whether agents check the configurations that clients deploy, before anything is changed.
        key_file: the file for the keys of a cluster on several hosts.
        notifications: how many notifications agents may send.
        sizes: how large a configuration may be.
        encryption: how connections to agents are encrypted.
        signer: makes certificates for agents; None if there is no authority here.
        revoked: gives the list of revoked certificates as PEM, ``""`` if there is none.
        loss: a sentence about a lost database, which clients are sent until a configuration is staged; ``""`` for none.
    """

    name: str
    port: int | None = CONTROLLER_PORT
    request_timeout: float = 10.0
    instance_wait: float = 0.0
    assignment: PortAssignment = PortAssignment()
    check_before_deploy: bool = True
    key_file: Path | None = None
    notifications: NotificationLimits = NotificationLimits()
    sizes: Sizes = Sizes()
    encryption: Encryption = PlainText()
    signer: Signer | None = None
    revoked: Callable[[], str] = lambda: ""
    loss: str = ""
