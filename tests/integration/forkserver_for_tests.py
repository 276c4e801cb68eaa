"""A warm process as small as the contract of stem/forkserver.py allows; its nodes obey their argv.

argv: ``sleep`` waits for a signal, ``exit N`` ends with N, ``refuse`` is answered with an
error, ``die`` ends the warm process instead of an answer, ``lost`` forks the node and then
dies without an answer. As those of former releases, the nodes do not show the mark of their launch.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from pathlib import Path


def become(order: dict) -> None:  # type: ignore[type-arg]
    os.setsid()
    os.chdir(order["directory"])
    os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
    for descriptor, key in ((1, "stdout_file"), (2, "stderr_file")):
        os.dup2(os.open(order[key], os.O_WRONLY | os.O_APPEND), descriptor)
    os.closerange(3, 64)
    if order["cpu_affinity"] is not None:
        os.sched_setaffinity(0, {order["cpu_affinity"]})
    os.environ.clear()
    os.environ.update(order["env"])
    os.write(1, f"{os.getpid()} {os.environ.get('A')} {Path.cwd()}\n".encode())
    if order["argv"][0] == "exit":
        os._exit(int(order["argv"][1]))
    while True:
        signal.pause()


def fork(order: dict) -> int:  # type: ignore[type-arg]
    reader, writer = os.pipe()
    if (intermediate := os.fork()) == 0:
        if (node := os.fork()) == 0:
            become(order)
        os.write(writer, str(node).encode())
        os._exit(0)
    os.waitpid(intermediate, 0)
    pid = int(os.read(reader, 20))
    os.close(reader)
    os.close(writer)
    return pid


def main() -> None:
    stem = socket.socket(fileno=int(os.environ["ZEEKFLEET_FORKSERVER_FD"]))
    while packet := stem.recv(1 << 20):
        order = json.loads(packet)
        match order["argv"][0]:
            case "refuse":
                stem.send(json.dumps({"error": "refused"}).encode())
            case "die":
                sys.exit(1)
            case "lost":
                pid = fork(order)
                with Path(order["stdout_file"]).open("a") as file:
                    file.write(f"{pid} lost\n")
                sys.exit(1)
            case _:
                stem.send(json.dumps({"pid": fork(order)}).encode())


if __name__ == "__main__":
    main()
