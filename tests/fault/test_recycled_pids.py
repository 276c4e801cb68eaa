"""A process id that comes to a stranger: in a namespace of its own, where the kernel can be told which comes next."""

from __future__ import annotations

import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

# Runs as the first process of a namespace: what it starts has small process ids, and what is killed is reaped here.
SCENARIO = textwrap.dedent(
    """
    import asyncio, os, signal, subprocess, sys
    from pathlib import Path
    from zeekfleet.model.launch import RevivalSettings
    from zeekfleet.model.supervisor import NodeConfig
    from zeekfleet.system import procfs
    from zeekfleet.supervisor import CommandEngine, Supervisor

    state, when = Path(sys.argv[1]), sys.argv[2]
    revival = RevivalSettings(enabled=when != "destroyed", initial_delay=0, max_delay=0, loop_limit=1000)

    def stranger(pid, former):
        # The very next process gets this id, in a later tick: so many processes as there are ids take longer.
        for _ in range(1000):
            Path("/proc/sys/kernel/ns_last_pid").write_text(str(pid - 1))
            process = subprocess.Popen(["sleep", "1000"], start_new_session=True)
            if process.pid == pid and procfs.start_time(pid) != former:
                return process
            process.kill()
            process.wait()
        raise AssertionError("the id cannot be had")

    async def until(condition):
        async with asyncio.timeout(30):
            while not condition():
                await asyncio.sleep(0.01)

    async def main():
        supervisor = Supervisor(state, CommandEngine(["sleep", "1000"], revival=revival), on_exit="keep")
        async with supervisor:
            await supervisor.create(NodeConfig(name="a"))
            await supervisor.create(NodeConfig(name="b"))
            pid = supervisor.details("a")["a"].pid
            other = supervisor.details("b")["b"].pid
            stem = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        former = procfs.start_time(pid)
        # Nobody is left but the nodes: stem and supervisor are gone, and one node after them.
        os.kill(stem, signal.SIGKILL)
        os.waitpid(stem, 0)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)  # it came to us, as orphans do
        process = stranger(pid, former)
        its_start = procfs.start_time(pid)
        supervisor = Supervisor(state, CommandEngine(["sleep", "1000"], revival=revival))
        async with supervisor:
            if when != "destroyed":
                await until(lambda: supervisor.details("a")["a"].state == "running")
                assert supervisor.details("a")["a"].pid != pid, "a stranger was adopted"
            assert supervisor.details("b")["b"].pid == other, "a node was not found again"
            assert process.poll() is None, "a stranger was signalled when nodes were looked for"
            if when == "restarted":
                assert await supervisor.restart("a")
            if when in ("restarted", "destroyed"):
                assert await supervisor.destroy("a")
                assert process.poll() is None, "a stranger was signalled when a node was stopped"
        # All is stopped.
        assert process.poll() is None, "a stranger was signalled at the end"
        assert procfs.start_time(pid) == its_start
        assert procfs.start_time(other) is None or procfs.session(other) is None
        process.kill()
        process.wait()
        print("well")

    asyncio.run(main())
    """
)


@pytest.mark.parametrize("when", ["found again", "restarted", "destroyed"])
def test_no_stranger_is_adopted_or_signalled(tmp_path: Path, when: str) -> None:
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("no unshare here")
    command = [unshare, "--pid", "--fork", "--mount-proc", "--kill-child"]
    trial = [*command, "sh", "-c", "echo 100 > /proc/sys/kernel/ns_last_pid"]
    if (tried := subprocess.run(trial, capture_output=True, text=True, timeout=60, check=False)).returncode:
        pytest.skip(f"no namespace of process ids can be had here: {tried.stderr.strip()}")
    script = tmp_path / "scenario.py"
    script.write_text(SCENARIO)
    done = subprocess.run(
        [*command, sys.executable, str(script), str(tmp_path / "state"), when],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "well\n"), done.stderr
