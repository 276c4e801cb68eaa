"""Which controller an agent serves: one at a time. Deployments that are older than the last one are refused."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from zeekfleet.broker.events.refusals import DeploymentNumber
from zeekfleet.system.files import write_private
from zeekfleet.transport.bus import Peer

logger = logging.getLogger(__name__)

ANNOUNCED_MAX = 100
"""The most deployment numbers that are kept until their requests come."""


class ControllerIdentity(msgspec.Struct, frozen=True):
    """What identifies a controller, also after a restart: its name (``""`` if it has none) and its host."""

    name: str
    host: str

    def __str__(self) -> str:
        return f"controller '{self.name}' at {self.host}" if self.name else f"a controller at {self.host}"


class ServedController:
    """The one controller that an agent serves.

    The agent serves the first controller that gives it an order, until that controller releases the agent or has been
    gone for ``hold`` seconds. A file remembers the controller, so that no other one can take over the agent when the
    agent restarts.

    Args:
        file: the file that remembers the controller.
        on_free: called when the controller has been gone for too long, so that another may take its place.
        hold: the seconds that a controller has to come back; it may only be restarting.
    """

    def __init__(self, file: Path, on_free: Callable[[], None], hold: float) -> None:
        self._file = file
        self._on_free = on_free
        self._hold = hold
        self._identity: ControllerIdentity | None = None
        self._peer: Peer | None = None
        self._last_peer: Peer | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._announced: dict[str, DeploymentNumber] = {}
        self._last: DeploymentNumber | None = None

    def remember(self) -> None:
        """Read the file. The controller that it names has ``hold`` seconds from now to come back."""
        try:
            self._identity = msgspec.json.decode(self._file.read_bytes(), type=ControllerIdentity)
        except FileNotFoundError:
            return
        except (OSError, msgspec.MsgspecError) as error:
            logger.warning(
                "cannot read from %s which controller was served before: %s",
                self._file,
                error,
                extra={"error": str(error)},
            )
            return
        self._wait_for_it()

    def problem(self, peer: Peer) -> str | None:
        """Why the agent takes no orders from this peer; None if it does, and then it serves this peer from now on."""
        if self._peer is not None and self._peer.is_same(peer):
            return None
        asking = ControllerIdentity(peer.name, peer.host)
        if self._identity is None or (self._peer is None and asking == self._identity):
            self._serve(asking, peer)
            return None
        gone = ", which is gone but may come back" if self._peer is None else ""
        return f"held by {self._identity}{gone}"

    def found(self, peer: Peer) -> None:
        """A controller has connected. If it is the one that the agent serves, stop waiting for it."""
        if self._peer is None and self._last_peer is not None and self._last_peer.is_same(peer):
            self._peer = peer
            self._stop_waiting()

    def lost(self, peer: Peer, others: Iterable[Peer]) -> None:
        """A controller's connection was lost; ``others`` are the remaining connections."""
        if self._peer is None or self._peer.id != peer.id:
            return
        self._peer = next((other for other in others if other.is_same(peer)), None)
        if self._peer is None:
            self._last_peer = peer
            self._wait_for_it()

    def release(self) -> None:
        """The controller does not need the agent any more; the next one that gives an order is served."""
        self._stop_waiting()
        self._identity = self._peer = self._last_peer = self._last = None
        try:
            self._file.unlink(missing_ok=True)
        except OSError as error:
            logger.warning("%s cannot be removed: %s", self._file, error, extra={"error": str(error)})

    def announce(self, number: DeploymentNumber) -> None:
        """Remember the number of a deployment until its request comes."""
        if len(self._announced) >= ANNOUNCED_MAX:
            del self._announced[next(iter(self._announced))]
        self._announced[number.reqid] = number

    def superseded(self, reqid: str) -> str | None:
        """Why a request to deploy is refused, if a later deployment has already come; None if it may be carried out.

        A request without a number may always be carried out: other makes of controllers send none.
        """
        number = self._announced.pop(reqid, None)
        if number is None:
            return None
        last = self._last
        if last is not None and last.controller == number.controller and last.number > number.number:
            return f"deployment {number.number} is older than deployment {last.number}, which has come already"
        self._last = number
        return None

    def close(self) -> None:
        """Stop waiting for a controller that is gone."""
        self._stop_waiting()

    def _serve(self, identity: ControllerIdentity, peer: Peer) -> None:
        self._stop_waiting()
        if identity != self._identity:
            logger.info("taking orders from %s", identity)
            try:
                write_private(self._file, msgspec.json.encode(identity))
            except OSError as error:
                logger.warning("%s cannot be written: %s", self._file, error, extra={"error": str(error)})
        self._identity, self._peer = identity, peer

    def _wait_for_it(self) -> None:
        self._stop_waiting()
        self._timer = asyncio.get_running_loop().call_later(self._hold, self._give_up)

    def _give_up(self) -> None:
        logger.info("%s has been gone for %g s: another controller may take its place", self._identity, self._hold)
        self.release()
        self._on_free()

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
