"""One world an implementation: where its endpoints find each other."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from zeekfleet.transport.endpoint import Endpoint
from zeekfleet.transport.memory import MemoryEndpoint, MemoryNetwork
from zeekfleet.transport.routed import RoutedEndpoint
from zeekfleet.transport.settings import TransportSettings
from zeekfleet.transport.websocket import WebSocketEndpoint

HOST = "127.0.0.1"

Make = Callable[..., RoutedEndpoint]


@pytest.fixture(params=["memory", "websocket"])
def make(request: pytest.FixtureRequest) -> Make:
    network = MemoryNetwork()

    def make_endpoint(name: str = "", settings: TransportSettings | None = None) -> Endpoint:
        if request.param == "memory":
            return MemoryEndpoint(network, name, settings)
        return WebSocketEndpoint(name, settings)

    return make_endpoint
