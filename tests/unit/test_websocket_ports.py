"""Ports for nodes' WebSockets: which nodes get them, and how long they are reserved."""

from __future__ import annotations

import socket
from contextlib import closing

from zeekfleet.node.zeek.websocket_ports import WebSocketPorts
from zeekfleet.system.ports import reserve

LOOPBACK = "127.0.0.1"


def is_reserved(port: str) -> bool:
    reserved = reserve(LOOPBACK, (int(port),))
    if reserved is not None:
        reserved.close()
    return reserved is None


def test_ports_are_reserved_for_the_nodes_that_were_given_them() -> None:
    with closing(WebSocketPorts()) as ports, closing(WebSocketPorts()) as others:
        checked = ports.choose(3, ())
        deployed = ports.choose(3, ())
        assert len({*checked, *deployed, *others.choose(3, ())}) == 9
        with closing(socket.create_server((LOOPBACK, int(deployed[0])))):
            [added] = ports.choose(1, deployed)
            assert not any(map(is_reserved, checked)), "nobody was started with these"
        assert all(map(is_reserved, [*deployed, added])), "a node may come up again"
        assert ports.choose(0, [added]) == []
        assert ports.choose(0, [added]) == []
        assert is_reserved(added)
        assert not any(map(is_reserved, deployed))
    assert not is_reserved(added)
