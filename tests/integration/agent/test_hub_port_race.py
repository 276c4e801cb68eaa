"""Agents in separate processes, with separate directories, that choose the hub's ports at the same instant."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.ports import free_ports

ROUNDS = 25
PATIENCE = 30.0

AGENT = """
import sys
from pathlib import Path

from zeekfleet.node.zeek import cluster_settings
from zeekfleet.model.enums import ClusterRole, State
from zeekfleet.model.management import Configuration, Instance, Node
from zeekfleet.model.types import Address
from zeekfleet.model.variables import HUB_PORTS

cluster_settings.DEFAULT_HUB_PORTS = int(sys.argv[2]), int(sys.argv[3])
node = Node("manager", "a", ClusterRole.MANAGER, State.PENDING)
deployed = Configuration(instances=(Instance("a", Address("127.0.0.1")),), nodes=(node,))
wide = cluster_settings.ClusterSettings(Path(sys.argv[1]))
print("ready", flush=True)
for line in sys.stdin:
    configuration = deployed if line == "deploy\\n" else Configuration()
    print(wide.variables(configuration, {}).get(HUB_PORTS, "none"), flush=True)
"""


class Agent:
    def __init__(self, directory: Path, ports: list[int]) -> None:
        directory.mkdir()
        command = [sys.executable, "-c", AGENT, str(directory), *map(str, ports)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.heard() == "ready"

    def tell(self, order: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{order}\n")
        self.process.stdin.flush()

    def heard(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(PATIENCE)


@contextmanager
def agents(root: Path, count: int, ports: list[int]) -> Iterator[list[Agent]]:
    made: list[Agent] = []
    try:
        for number in range(count):
            made.append(Agent(root / f"a{number}", ports))
        yield made
    finally:
        for agent in made:
            agent.kill()


def test_only_one_agent_gets_zeeks_own_ports(tmp_path: Path) -> None:
    ports = free_ports(2)
    own = f"{ports[0]},{ports[1]}"
    with agents(tmp_path, 3, ports) as racers:
        for _ in range(ROUNDS):
            for agent in racers:
                agent.tell("deploy")
            chosen = [agent.heard() for agent in racers]
            every = [port for pair in chosen for port in pair.split(",")]
            assert len(set(every)) == 6, chosen
            assert chosen.count(own) == 1
            for agent in racers:
                agent.tell("stop")
            assert [agent.heard() for agent in racers] == ["none"] * 3


def test_ports_of_a_killed_agent_are_free(tmp_path: Path) -> None:
    ports = free_ports(2)
    own = f"{ports[0]},{ports[1]}"
    with agents(tmp_path, 2, ports) as [first, second]:
        first.tell("deploy")
        assert first.heard() == own
        second.tell("deploy")
        assert second.heard() != own
        second.tell("stop")
        assert second.heard() == "none"
        first.kill()
        second.tell("deploy")
        assert second.heard() == own
