"""The agent's side of mailboxes."""

from __future__ import annotations

import asyncio
import errno
import json
from pathlib import Path

import pytest

from zeekfleet.broker.events.base import Event
from zeekfleet.broker.events.dispatches import NodePeers
from zeekfleet.broker.events.node import NodeDispatchResponse, NotifyNodeHello
from zeekfleet.model.dispatches import MissingPeers, OptionChange
from zeekfleet.model.management import Result
from zeekfleet.node.zeek import mailbox
from zeekfleet.node.zeek.mailbox import Mailboxes
from zeekfleet.testing.clock import ManualClock


class Box:
    """A mailbox of node ``l``, with the agent's side of it."""

    def __init__(self, directory: Path, clock: ManualClock) -> None:
        self.directory = directory
        self.heard: asyncio.Queue[Event] = asyncio.Queue()
        self.boxes = Mailboxes(clock)
        self.boxes.on_event = self.heard.put_nowait

    def put(self, name: str, content: str) -> None:
        """Write an answer as the node does, to a temporary file that is then renamed."""
        (self.directory / f"{name}.new").write_text(content)
        (self.directory / f"{name}.new").rename(self.directory / f"{name}.json")

    def requests(self) -> list[dict[str, object]]:
        lines = (self.directory / "requests").read_text().splitlines()
        return [json.loads(line) for line in lines]

    async def next(self) -> Event:
        return await asyncio.wait_for(self.heard.get(), 10)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def box(tmp_path: Path, clock: ManualClock):  # type: ignore[no-untyped-def]
    made = Box(tmp_path, clock)
    yield made
    made.boxes.close()


async def test_earlier_answers_are_read_in_order(box: Box) -> None:
    box.put("7-2", '{"hello":"l"}')
    box.put("7-3", '{"missing":["m","p"]}')
    box.put(
        "7-4", '{"action":"missing_peers","result":{"reqid":"q","success":true,"data":{"missing":["m"]},"node":"l"}}'
    )
    box.put("7-10", '{"action":"net","result":{"reqid":"r","success":false,"error":"dispatch net unknown","node":"l"}}')
    box.boxes.follow({"l": box.directory})
    assert await box.next() == NotifyNodeHello("l")
    assert await box.next() == NodePeers("l", ("m", "p"))
    assert await box.next() == NodeDispatchResponse("q", Result("q", data=MissingPeers(("m",)), node="l"))
    assert await box.next() == NodeDispatchResponse("r", Result("r", False, error="dispatch net unknown", node="l"))
    assert list(box.directory.iterdir()) == []


async def test_answers_have_the_type_of_their_action(box: Box) -> None:
    box.boxes.follow({"l": box.directory})
    box.put("7-1", '{"action":"get_id_value","result":{"reqid":"r","success":true,"data":"96","node":"l"}}')
    assert await box.next() == NodeDispatchResponse("r", Result("r", data="96", node="l"))
    change = '{"name":"a","before":"1","now":"2"}'
    box.put("7-2", f'{{"action":"set_option","result":{{"reqid":"s","success":true,"data":{change},"node":"l"}}}}')
    assert await box.next() == NodeDispatchResponse("s", Result("s", data=OptionChange("a", "1", "2"), node="l"))


@pytest.mark.parametrize(
    "content",
    ["", "nonsense", "[]", "{}", '{"result":{}}', '{"action":"net_stats","result":{"reqid":"r","data":1}}', "\xff"],
)
async def test_invalid_answers_are_removed(box: Box, content: str) -> None:
    box.boxes.follow({"l": box.directory})
    box.put("7-1", content)
    box.put("7-2", '{"hello":"l"}')
    assert await box.next() == NotifyNodeHello("l")
    assert list(box.directory.iterdir()) == []


async def test_a_node_can_answer_only_for_itself(box: Box) -> None:
    box.boxes.follow({"l": box.directory})
    box.put("7-1", '{"hello":"manager"}')
    assert await box.next() == NotifyNodeHello("l")


async def test_requests_are_open_until_answered_or_too_old(box: Box, clock: ManualClock) -> None:
    box.boxes.follow({"l": box.directory})
    box.boxes.send("1", ("get_id_value", "a"), "l")
    clock.advance(mailbox.OPEN_FOR / 2)
    box.boxes.send("2", ("net_stats",), "l")
    box.boxes.send("1", ("get_id_value", "a"), "l")
    assert box.requests() == [
        {"reqid": "1", "action": ["get_id_value", "a"]},
        {"reqid": "2", "action": ["net_stats"]},
    ]
    assert (box.directory / "requests").stat().st_mode & 0o777 == 0o600
    box.put("7-1", '{"action":"net_stats","result":{"reqid":"2","success":false,"error":"e"}}')
    await box.next()
    clock.advance(mailbox.OPEN_FOR / 2 + 1)
    box.boxes.send("3", (), "l")
    assert [request["reqid"] for request in box.requests()] == ["3"]


async def test_the_number_of_open_requests_is_limited(box: Box) -> None:
    box.boxes.follow({"l": box.directory})
    for number in range(mailbox.MOST_OPEN + 5):
        box.boxes.send(str(number), (), "l")
    assert [request["reqid"] for request in box.requests()] == [str(5 + place) for place in range(mailbox.MOST_OPEN)]


async def test_answers_of_a_node_that_left_are_not_read(box: Box) -> None:
    box.boxes.follow({"l": box.directory})
    assert "l" in box.boxes
    box.boxes.follow({})
    assert "l" not in box.boxes
    box.put("7-1", '{"hello":"l"}')
    box.boxes.follow({"l": box.directory / "missing"})
    assert "l" not in box.boxes
    assert box.heard.empty()


async def test_without_inotify_a_node_has_no_mailbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EMFILE, "no more inotify instances")

    monkeypatch.setattr(mailbox, "Inotify", refuse)
    boxes = Mailboxes()
    boxes.follow({"l": tmp_path})
    assert "l" not in boxes
    monkeypatch.undo()
    boxes.follow({"l": tmp_path})
    assert "l" in boxes
    boxes.close()
