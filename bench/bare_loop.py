"""The simplest possible supervisor: one pidfd for each child, and a new child when one ends.

``python bench/bare_loop.py DIRECTORY COUNT COMMAND…``; lines ``start`` and ``stop`` on standard input are answered
by ``started`` and ``stopped``. Keeps nothing on disk, tells nobody anything, survives nothing.
"""

import os
import selectors
import shutil
import signal
import sys

DIRECTORY, COUNT, COMMAND = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
PROGRAM = shutil.which(COMMAND[0]) or COMMAND[0]  # once, rather than on the whole PATH at every start
FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
selector = selectors.DefaultSelector()
children: dict[int, tuple[int, int]] = {}
stopping = False


def start(number: int) -> None:
    directory = f"{DIRECTORY}/{number}"
    os.makedirs(directory, exist_ok=True)  # noqa: PTH103
    actions = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)]
    actions += [(os.POSIX_SPAWN_OPEN, fd, f"{directory}/{fd}", FLAGS, 0o600) for fd in (1, 2)]
    pid = os.posix_spawn(PROGRAM, COMMAND, os.environ, file_actions=actions, setsid=True, setsigdef=[signal.SIGPIPE])
    pidfd = os.pidfd_open(pid)
    children[pidfd] = (pid, number)
    selector.register(pidfd, selectors.EVENT_READ)


def ended(pidfd: int) -> None:
    selector.unregister(pidfd)
    os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
    os.close(pidfd)
    _, number = children.pop(pidfd)
    if not stopping:
        start(number)
    elif not children:
        print("stopped", flush=True)


selector.register(sys.stdin, selectors.EVENT_READ)
while True:
    for key, _ in selector.select():
        if key.fileobj is not sys.stdin:
            ended(key.fd)
        elif (word := sys.stdin.readline().strip()) == "start":
            stopping = False
            for number in range(COUNT):
                start(number)
            print("started", flush=True)
        elif word == "stop":
            stopping = True
            for pid, _ in children.values():
                os.killpg(pid, signal.SIGTERM)
        else:
            sys.exit()
