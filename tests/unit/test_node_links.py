"""How the agent reaches real Zeeks: by one WebSocket and by mailboxes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

import pytest

from zeekfleet.broker.events.base import Event
from zeekfleet.broker.events.node import NodeDispatchRequest
from zeekfleet.model.enums import ClusterRole
from zeekfleet.model.supervisor import ClusterEndpoint, NodeConfig
from zeekfleet.model.types import Address, Port
from zeekfleet.model.variables import WEBSOCKET_PORT
from zeekfleet.node.zeek.cluster_settings import ClusterSettings
from zeekfleet.node.zeek.links import ZeekLinks
from zeekfleet.node.zeek.status_files import StatusFiles
from zeekfleet.planning.layout import Backend
from zeekfleet.planning.mailbox import MAILBOX_DIRECTORY, REQUESTS_FILE
from zeekfleet.transport.bus import Bus
from zeekfleet.transport.connections import Connections

ROLES = {"manager": ClusterRole.MANAGER, "logger": ClusterRole.LOGGER, "worker": ClusterRole.WORKER}


class Published:
    """A bus that records what is published, and dials nothing."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def publish(self, topic: str, event: Event) -> None:
        self.events.append(event)


@pytest.fixture
async def links(tmp_path: Path):  # type: ignore[no-untyped-def]
    """Links to a manager, a logger and a worker, none of which is up; and the bus on which they publish."""
    cluster = {name: ClusterEndpoint(role, Address("127.0.0.1"), Port(1, "tcp")) for name, role in ROLES.items()}
    configs = {}
    for number, name in enumerate(ROLES):
        (tmp_path / name / MAILBOX_DIRECTORY).mkdir(parents=True)
        env = {} if name == "logger" else {WEBSOCKET_PORT: str(1000 + number)}
        configs[name] = NodeConfig(name, directory=str(tmp_path / name), env=env, cluster=cluster)
    published = Published()
    cluster_settings = ClusterSettings(tmp_path)
    bus, connections = cast(Bus, published), cast(Connections, None)
    made = ZeekLinks(bus, connections, Backend.ZEROMQ, cluster_settings, StatusFiles())
    made.follow(dict.fromkeys(configs, 1), configs)
    yield made, published
    made.close()


async def test_a_logger_is_also_asked_by_mailbox(links: tuple[ZeekLinks, Published], tmp_path: Path) -> None:
    dials, published = links
    request = NodeDispatchRequest("r", ("get_id_value", "bits_per_uid"), frozenset(ROLES))
    dials.send(request)
    assert published.events == [request]
    mailed = [name for name in ROLES if (tmp_path / name / MAILBOX_DIRECTORY / REQUESTS_FILE).exists()]
    assert mailed == ["logger"]
    lines = (tmp_path / "logger" / MAILBOX_DIRECTORY / REQUESTS_FILE).read_text().splitlines()
    assert [json.loads(line) for line in lines] == [{"reqid": "r", "action": ["get_id_value", "bits_per_uid"]}]


async def test_a_logger_that_is_not_named_gets_no_mail(links: tuple[ZeekLinks, Published], tmp_path: Path) -> None:
    dials, published = links
    dials.send(NodeDispatchRequest("r", ("net_stats",), frozenset({"worker"})))
    assert [event for event in published.events if isinstance(event, NodeDispatchRequest)] != []
    assert not (tmp_path / "logger" / MAILBOX_DIRECTORY / REQUESTS_FILE).exists()
