"""``up --pcap`` before anything is started: which ports it chooses, and how long it reserves them."""

from __future__ import annotations

from pathlib import Path

import pytest

from zeekfleet.cli import up_trace
from zeekfleet.cli.daemon_options import SECTIONS
from zeekfleet.errors import ZeekfleetError
from zeekfleet.model.management import Configuration
from zeekfleet.resolution import resolve
from zeekfleet.settings import Settings
from zeekfleet.system import ports
from zeekfleet.system.ports import reserve

LOOPBACK = "127.0.0.1"


@pytest.fixture
def trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "trace.pcap"
    file.touch()
    return file


def started_with(
    trace: Path, monkeypatch: pytest.MonkeyPatch, **options: str
) -> tuple[Settings, Configuration, list[int]]:
    """The settings that a run starts with, and its ports, which are reserved while it runs."""
    seen: list[tuple[Settings, Configuration, list[int]]] = []

    async def serve(deployed: Configuration, settings: Settings, *_: object) -> None:
        chosen = [settings.controller.websocket_port, settings.controller.port]
        chosen += [node.p.number for node in deployed.nodes if node.p is not None]
        assert not [port for port in chosen if reserve(LOOPBACK, (port,)) is not None], "they are ours alone"
        seen.append((settings, deployed, chosen))

    def run_daemon(_: object, main) -> int:
        with pytest.raises(StopIteration):
            main(None).send(None)
        return 1

    monkeypatch.setattr(up_trace, "_serve", serve)
    monkeypatch.setattr(up_trace, "run_daemon", run_daemon)
    assert up_trace.run(trace, resolve(SECTIONS["up"], options, {})) == 1
    return seen[0]


def test_the_ports_are_reserved_until_the_run_ends(trace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings, deployed, chosen = started_with(trace, monkeypatch)
    assert len(set(chosen)) == up_trace.PORTS
    assert {node.name for node in deployed.nodes if node.p is not None} == {"manager", "logger", "proxy"}
    assert settings.agent.controller == f"{LOOPBACK}:{settings.controller.port}"
    with reserve(LOOPBACK, chosen) as reserved:
        assert reserved is not None


def test_a_given_start_port_is_used(trace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings, deployed, _ = started_with(trace, monkeypatch, **{"controller.auto_assign_start_port": "3000"})
    assert settings.controller.auto_assign_start_port == 3000
    assert not [node for node in deployed.nodes if node.p is not None]


def test_a_lack_of_ports_is_reported(trace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "TRIES", -up_trace.PORTS)
    with pytest.raises(ZeekfleetError, match="no free ports"):
        up_trace.run(trace, resolve(SECTIONS["up"], {}, {}))


@pytest.mark.parametrize("engine", ["auto", "sim"])
def test_nodes_that_read_no_traffic_are_refused(engine: str, trace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(trace.parent))  # without a zeek
    with pytest.raises(ZeekfleetError, match="a trace needs real Zeek nodes"):
        up_trace.run(trace, resolve(SECTIONS["up"], {"supervisor.engine": engine}, {}))
