"""How many log lines peers can cause."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest

from zeekfleet.logs.peer_lines import ALL_BURST, EACH_BURST, EACH_PER_SECOND, HOSTS_MAX, PeerLines


class Scene:
    def __init__(self) -> None:
        self.now = 1000.0
        self.lines = PeerLines(lambda: self.now)
        self.streams = (io.StringIO(), io.StringIO())
        self.logger = logging.getLogger("test-of-peer-lines")
        self.handlers = [logging.StreamHandler(stream) for stream in self.streams]
        for handler in self.handlers:
            handler.addFilter(self.lines)

    def tell(self, address: str | None, text: str = "a line", **facts: str) -> None:
        self.logger.warning(text, extra=facts if address is None else {"address": address, **facts})

    @property
    def written(self) -> list[str]:
        one, other = (stream.getvalue().splitlines() for stream in self.streams)
        assert sorted(one) == sorted(other)
        return one


@pytest.fixture
def scene() -> Iterator[Scene]:
    scene = Scene()
    root = logging.getLogger()
    for handler in scene.handlers:
        root.addHandler(handler)
    yield scene
    for handler in scene.handlers:
        root.removeHandler(handler)


def test_one_host_has_its_share_and_others_theirs(scene: Scene) -> None:
    for port in range(1000):
        scene.tell(f"10.0.0.1:{port}")
    assert scene.written.count("a line") == EACH_BURST
    notice = f"there are more than {EACH_PER_SECOND:g} lines about 10.0.0.1 a second: not all are written"
    assert scene.written.count(notice) == 1
    scene.tell("10.0.0.2:1", "another host")
    scene.tell(None, "of our own")
    scene.tell("10.0.0.1:1", "of another process", source="a1")
    assert scene.written[-3:] == ["another host", "of our own", "of another process"]


def test_how_many_were_left_out_is_told_once_there_is_room(scene: Scene) -> None:
    for port in range(1000):
        scene.tell(f"[fd00::1]:{port}")
    scene.now += 1
    scene.tell("[fd00::1]:1", "again")
    assert f"{1000 - EACH_BURST:.0f} lines about [fd00::1] were not written" in scene.written
    assert scene.written[-1] == "again"
    scene.tell("[fd00::1]:1", "and again")
    assert scene.written[-1] == "and again"


def test_all_hosts_together_have_a_bound(scene: Scene) -> None:
    for number in range(3000):
        scene.tell(f"fd00::{number:x}")  # an address without a port
    assert scene.written.count("a line") == ALL_BURST
    scene.now += 1
    scene.tell("10.0.0.1:1")
    assert f"{3000 - ALL_BURST:.0f} lines about peers were not written" in scene.written
    assert len(scene.lines._hosts) <= HOSTS_MAX


@pytest.mark.parametrize("address", ["unix:/run/a:b.sock", "10.0.0.1", "10.0.0.1:80", "[::1]:80", "::1", ""])
def test_every_form_of_an_address(scene: Scene, address: str) -> None:
    for _ in range(int(EACH_BURST) + 1):
        scene.tell(address)
    assert scene.written.count("a line") == EACH_BURST
