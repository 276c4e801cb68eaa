"""``python -m zeekfleet.stem STATE_DIRECTORY [READY_DESCRIPTOR]``: run the stem of a state directory.

If a descriptor is given, the stem writes ``ready`` to it once a supervisor can connect, or
the reason why it cannot start. Exit codes: 0 shut down, 1 could not start, 75 another stem
has the directory.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import os
import resource
import sys
import time
from pathlib import Path

from zeekfleet.stem.preparation import reason_of
from zeekfleet.stem.server import Server
from zeekfleet.stem.sockets import LOCK_NAME
from zeekfleet.system import core_files, subreaper
from zeekfleet.system.files import open_own
from zeekfleet.system.node_files import DIRECTORY_MODE

EXIT_FAILED = 1
EXIT_LOCKED = 75


def _log(text: str) -> None:
    line = f"{time.strftime('%Y-%m-%dT%H:%M:%S')} stem[{os.getpid()}]: {text}\n"
    # On a full disk the line is lost; the stem goes on.
    with contextlib.suppress(OSError):
        os.write(2, line.encode("utf-8", "replace"))


def _raise_file_limit() -> None:
    """Raise our soft limit of descriptors to the hard one: each node may take a descriptor. Nodes inherit the limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _lock(state: Path) -> bool:
    """Lock the directory until this process ends. Returns False if another process has locked it."""
    descriptor = open_own(state / LOCK_NAME, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return False
    return True


def main(arguments: list[str]) -> int:
    """Run until shut down. Returns the exit code."""
    core_files.hide_memory()  # nobody needs our entries in /proc; unlike a limit for cores, nodes do not inherit this
    state = Path(arguments[0]).absolute()
    ready = int(arguments[1]) if len(arguments) > 1 else None
    if ready is not None:
        os.set_inheritable(ready, False)

    def tell(text: str) -> None:
        if ready is not None:
            # The process that started us may have ended already; the nodes still need us.
            with contextlib.suppress(OSError):
                os.write(ready, text.encode("utf-8", "replace"))
            os.close(ready)

    try:
        state.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
        if not _lock(state):
            tell("another stem has this state directory")
            return EXIT_LOCKED
        os.chdir("/")
        subreaper.become()  # orphans of the nodes come to us, not to init
        _raise_file_limit()
        server = Server(state, _log)
        server.start()
    except OSError as error:
        reason = f"state directory {state}: {reason_of(error)}"
        _log(reason)
        tell(reason)
        return EXIT_FAILED
    tell("ready")
    gc.freeze()  # these objects stay for ever; to scan them again would also copy their pages after each fork
    server.run()
    return 0


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: python -m zeekfleet.stem STATE_DIRECTORY [READY_DESCRIPTOR]")
    sys.exit(main(sys.argv[1:]))
