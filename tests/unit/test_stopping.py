"""Stopping what runs on a state directory, as far as it needs no daemon."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from zeekfleet.daemon import stopping
from zeekfleet.daemon.directories import held
from zeekfleet.errors import SupervisionError


async def test_a_daemon_that_may_do_more_than_this_command_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel hides the descriptors of a process that has capabilities which the asker lacks, whatever its user."""

    def hidden(pid: int, file: Path) -> bool:
        raise PermissionError

    monkeypatch.setattr(stopping, "has_open", hidden)
    with held(tmp_path), pytest.raises(SupervisionError) as refused:
        await stopping.stop_all(tmp_path, 1.0, print)
    assert str(refused.value) == (
        f"process {os.getpid()}, the daemon of {tmp_path}, belongs to another user, or has capabilities that this"
        " command lacks: a systemd service is stopped by 'systemctl stop'"
    )
