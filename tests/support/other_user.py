"""Programs that run as another user, with the interpreter of these tests in their reach. Needs root."""

from __future__ import annotations

import functools
import os
import shlex
import subprocess
import sys
from pathlib import Path

NOBODY = 65534

_ROOM = "/root"
"""The only directory on the way to an interpreter that others typically may not enter."""


def _entered(path: Path) -> tuple[str, ...]:
    """What lets everybody reach the path, in a mount namespace of its own; the rest of root's home is hidden there."""
    if not path.is_relative_to(_ROOM):
        return ()
    kept = Path(_ROOM, path.relative_to(_ROOM).parts[0])
    script = (
        "set -e; mount --bind {kept} /mnt; mount -t tmpfs -o mode=755 none {room}; mkdir {kept};"
        ' mount --bind /mnt {kept}; umount /mnt; exec "$@"'
    ).format(kept=shlex.quote(str(kept)), room=_ROOM)
    return ("unshare", "-m", "sh", "-c", script, "sh")


@functools.cache
def within_reach() -> tuple[str, ...] | None:
    """How to begin a command whose processes can run our interpreter as any user; None if that is not possible."""
    prefix = _entered(Path(sys.executable).resolve())
    command = [*prefix, *_changed_to(NOBODY), sys.executable, "-c", "import zeekfleet, msgspec"]
    try:
        done = subprocess.run(command, capture_output=True, cwd="/", timeout=60, check=False)
    except OSError:
        return None
    return prefix if os.geteuid() == 0 and done.returncode == 0 else None


def as_user(uid: int) -> tuple[str, ...]:
    """How to begin a command that another user runs; only where :func:`within_reach` is not None."""
    prefix = within_reach()
    assert prefix is not None
    return (*prefix, *_changed_to(uid), "env", "HOME=/tmp")


def _changed_to(uid: int) -> tuple[str, ...]:
    return ("setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups")
