"""Which controller an agent serves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from zeekfleet.agent.served_controller import ServedController
from zeekfleet.broker.events.refusals import DeploymentNumber
from zeekfleet.transport.bus import Peer

LONG = 3600.0


def peer(number: int, name: str, endpoint: str = "", host: str = "127.0.0.1") -> Peer:
    return Peer(number, name, host, f"{host}:{1000 + number}", endpoint=endpoint)


def served_controller(
    tmp_path: Path, on_free: Callable[[], None] = lambda: None, hold: float = LONG
) -> ServedController:
    return ServedController(tmp_path / "controller.json", on_free, hold)


async def test_the_first_controller_is_served_and_others_are_refused_with_its_name(tmp_path: Path) -> None:
    made = served_controller(tmp_path)
    assert made.problem(peer(1, "c1", "x")) is None
    assert made.problem(peer(1, "c1", "x")) is None
    assert made.problem(peer(2, "c2", "y")) == "held by controller 'c1' at 127.0.0.1"
    assert made.problem(peer(3, "c1", "z")) is not None  # one of the same name, while the first is there
    assert made.problem(peer(4, "c1", "x")) is None  # another connection of the first
    made.close()


async def test_a_restarted_controller_is_served_again(tmp_path: Path) -> None:
    made = served_controller(tmp_path)
    made.problem(peer(1, "c1", "x"))
    made.lost(peer(1, "c1", "x"), (peer(2, "c2", "y"),))
    assert made.problem(peer(2, "c2", "y")) == "held by controller 'c1' at 127.0.0.1, which is gone but may come back"
    assert made.problem(peer(3, "c1", "z", host="192.0.2.1")) is not None
    assert made.problem(peer(3, "c1", "z")) is None
    assert made.problem(peer(2, "c2", "y")) == "held by controller 'c1' at 127.0.0.1"
    made.close()


async def test_a_controller_that_stays_away_loses_the_agent(tmp_path: Path) -> None:
    free = asyncio.Event()
    made = served_controller(tmp_path, free.set, hold=0.01)
    made.problem(peer(1, "c1"))
    made.lost(peer(1, "c1"), ())
    await asyncio.wait_for(free.wait(), 20)
    assert made.problem(peer(2, "c2")) is None
    made.close()


async def test_a_controller_with_a_remaining_connection_is_not_gone(tmp_path: Path) -> None:
    made = served_controller(tmp_path, hold=0.0)
    made.problem(peer(1, "c1", "x"))
    made.lost(peer(1, "c1", "x"), (peer(2, "c1", "x"),))
    made.lost(peer(9, "c9"), ())
    await asyncio.sleep(0)
    assert made.problem(peer(3, "c2", "y")) == "held by controller 'c1' at 127.0.0.1"
    made.close()


async def test_a_controller_that_does_not_need_the_agent_releases_it(tmp_path: Path) -> None:
    made = served_controller(tmp_path)
    made.problem(peer(1, "c1"))
    made.release()
    assert made.problem(peer(2, "c2")) is None
    assert made.problem(peer(1, "c1")) == "held by controller 'c2' at 127.0.0.1"
    made.close()


async def test_a_restarted_agent_still_serves_its_controller(tmp_path: Path) -> None:
    served_controller(tmp_path).problem(peer(1, "c1"))
    again = served_controller(tmp_path)
    again.remember()
    assert again.problem(peer(2, "c2")) is not None
    assert again.problem(peer(1, "c1")) is None
    again.release()
    again.close()
    last = served_controller(tmp_path)
    last.remember()
    assert last.problem(peer(2, "c2")) is None
    last.close()


async def test_an_unreadable_file_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "controller.json").write_text("{")
    made = served_controller(tmp_path)
    made.remember()
    assert made.problem(peer(1, "c1")) is None
    nowhere = ServedController(tmp_path / "missing" / "file", lambda: None, LONG)
    nowhere.remember()
    assert nowhere.problem(peer(1, "c1")) is None
    assert nowhere.problem(peer(2, "c2")) is not None
    nowhere.release()
    made.close()


async def test_a_deployment_older_than_the_last_one_is_superseded(tmp_path: Path) -> None:
    made = served_controller(tmp_path)
    for reqid, controller, number in (("r1", "x", 1), ("r2", "x", 2), ("r3", "x", 2), ("r4", "y", 1)):
        made.announce(DeploymentNumber(reqid, controller, number))
    assert made.superseded("r2") is None
    assert made.superseded("r1") == "deployment 1 is older than deployment 2, which has come already"
    assert made.superseded("r3") is None  # the same, asked for once more
    assert made.superseded("r4") is None  # of a controller that has begun to count anew
    assert made.superseded("never announced") is None
