"""Compares clusters of real Zeeks under zeekfleet and under Zeek's own management framework.

    PATH=/opt/zeek/bin:$PATH python bench/zeek_cluster.py [--rounds 3] [--workers 8 16]

Each cluster has a manager, a logger, a proxy and some workers on ``lo``, in a network namespace of its own
(this needs root, ``unshare`` and ``ip``), and all nodes load the same scripts: Zeek's own framework leaves
``local`` out unless told, ours loads it always. Workers have a packet buffer of 4 MB instead of 128: on a virtual
machine whose host gives memory when it is touched first, to fill that with zeros is a third of all that is
measured, and differs from run to run. The times, medians in seconds:

* deploy: from the configuration's upload until every node is RUNNING and has answered a ``get-id-value``
* restart: from the request to restart all nodes until the same holds of new processes

Ours is measured without its check before the deployment, which Zeek's framework does not have; what the check
adds stands beside it. At the end, 32 workers: no node may be told to have failed or timed out.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from zeekfleet import Client
from zeekfleet.errors import ZeekfleetError
from zeekfleet.model.enums import ClusterRole, State
from zeekfleet.model.management import Configuration, Instance, Node

INSTANCE = "bench"
PATIENCE = 120.0
POLL = 0.02
SCRIPTS = ("local", str(Path(__file__).with_name("small_buffer.zeek")))
SIDES = ("ours", "checked", "theirs")


def configuration(workers: int) -> Configuration:
    """A cluster of this many workers and three others."""

    def node(name: str, role: ClusterRole) -> Node:
        interface = "lo" if role is ClusterRole.WORKER else None
        return Node(name, INSTANCE, role, State.RUNNING, scripts=SCRIPTS, interface=interface)

    others = (ClusterRole.MANAGER, ClusterRole.LOGGER, ClusterRole.PROXY)
    nodes = [node(role.name.lower(), role) for role in others]
    nodes += [node(f"worker-{number:02}", ClusterRole.WORKER) for number in range(workers)]
    return Configuration(instances=(Instance(INSTANCE),), nodes=tuple(nodes))


def command(side: str, root: Path) -> list[str]:
    """The side to measure: zeekfleet, or Zeek's framework."""
    if side == "theirs":
        settings = (f"Management::state_dir={root}/state", f"Management::spool_dir={root}/spool")
        roles = (f"policy/frameworks/management/{role}" for role in ("controller", "agent"))
        return ["zeek", "-j", *roles, f"Management::Agent::name={INSTANCE}", *settings]
    check = "yes" if side == "checked" else "no"
    return [
        *(sys.executable, "-m", "zeekfleet", "up", "--agent-name", INSTANCE, "--engine", "zeek"),
        *("--state-dir", f"{root}/state", "--spool-dir", f"{root}/spool", "--check-before-deploy", check),
    ]


@asynccontextmanager
async def daemon(side: str) -> AsyncIterator[Client]:
    """One running side, and a client for it."""
    root = Path(tempfile.mkdtemp(prefix=f"bench-{side}-"))
    (root / "state" / "nodes").mkdir(parents=True)
    (root / "spool").mkdir()
    environment = {**os.environ, "ZEEK_DEFAULT_LISTEN_ADDRESS": "127.0.0.1", "ZEEK_AGENT_NAME": INSTANCE}
    with (root / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *command(side, root), cwd=root, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        try:
            async with Client(timeout=PATIENCE, connect_timeout=PATIENCE) as client:
                # Zeek's framework does not report when its agent is connected.
                while [instance.name for instance in await client.get_instances()] != [INSTANCE]:  # noqa: ASYNC110
                    await asyncio.sleep(POLL)
                yield client
        finally:
            process.terminate()
            await asyncio.wait_for(process.wait(), PATIENCE)
    shutil.rmtree(root)


async def all_up(client: Client, names: set[str], old: set[int]) -> set[int]:
    """Wait until all nodes run, with pids other than the old ones, and answer; their pids."""
    async with asyncio.timeout(PATIENCE):
        while True:
            seen = (await client.get_nodes()).instances
            found = {status.node: status for statuses in seen.values() for status in statuses if status.node in names}
            pids = {status.pid for status in found.values() if status.pid is not None}
            running = all(status.state is State.RUNNING for status in found.values())
            if running and len(pids) == len(names) and not pids & old:
                answer = await client.get_id_value("Cluster::node")
                if answer.values == {name: name for name in names}:
                    return pids
            await asyncio.sleep(POLL)


async def measure(side: str, workers: int) -> dict[str, float | str]:
    """The times of one round; must run in a network namespace of its own."""
    wanted = configuration(workers)
    names = {node.name for node in wanted.nodes}
    async with daemon(side) as client:
        started = time.perf_counter()
        try:
            outcome = await client.deploy_config(wanted)
            failure = "" if outcome.ok else f"{outcome.errors} {[n.name for n in outcome.nodes if not n.success]}"
        except ZeekfleetError as error:
            failure = str(error)
        pids = await all_up(client, names, set())
        deployed = time.perf_counter()
        await client.restart()
        await all_up(client, names, pids)
        return {"deploy": deployed - started, "restart": time.perf_counter() - deployed, "failure": failure}


def in_namespace(side: str, workers: int) -> dict[str, float | str]:
    """The same, from outside."""
    inner = [sys.executable, __file__, "--inner", side, "--workers", str(workers)]
    namespace = ["unshare", "-n", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    done = subprocess.run([*namespace, *inner], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{side} with {workers} workers: {done.stderr[-2000:]}")
    result: dict[str, float | str] = json.loads(done.stdout)
    return result


def compare(workers: int, rounds: int, goal: float) -> None:
    """Rounds of each side in turn, then a line for each time."""
    found: dict[str, list[dict[str, float | str]]] = {side: [] for side in SIDES}
    for _ in range(rounds):
        for side in SIDES:
            found[side].append(in_namespace(side, workers))
    for what in ("deploy", "restart"):
        ours, checked, theirs = (statistics.median(float(one[what]) for one in found[side]) for side in SIDES)
        verdict = "" if theirs / ours >= goal else f"   BELOW the {goal:g} aimed at"
        check = f"  (with check {checked:.2f} s)" if what == "deploy" else ""
        print(
            f"{workers:2} workers, {what:<8} ours {ours:6.2f} s   theirs {theirs:6.2f} s   {theirs / ours:5.2f} x"
            f"{verdict}{check}",
            flush=True,
        )
    for side in SIDES:
        for failure in {one["failure"] for one in found[side]} - {""}:
            print(f"{workers:2} workers, {side}: told of {failure}", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Compare, and see that a large cluster comes up without a false alarm."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, nargs="+", default=[8, 16])
    parser.add_argument("--largest", type=int, default=32)
    parser.add_argument("--inner", choices=SIDES, help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    if args.inner:
        print(json.dumps(asyncio.run(measure(args.inner, args.workers[0]))))
        return
    if shutil.which("zeek") is None:
        print("clusters of real Zeeks: skipped, no zeek on PATH")
        return
    if os.geteuid() != 0:
        print("clusters of real Zeeks: skipped, needs root")
        return
    for workers in args.workers:
        compare(workers, args.rounds, 1.0)
    if args.largest:
        large = in_namespace("checked", args.largest)
        told = large["failure"] or "no failure told"
        times = f"ours {large['deploy']:6.2f} s, restart {large['restart']:6.2f} s"
        print(f"{args.largest} workers, deploy   {times}: {told}")


if __name__ == "__main__":
    main()
