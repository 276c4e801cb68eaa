"""The warm process: everything is imported once, and each node is a fork of it.

It serves the contract that the stem tells in ``stem/forkserver.py``: one packet
a node on a ``SOCK_SEQPACKET`` socket, one packet back.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
import traceback
from pathlib import Path
from typing import NoReturn

import msgspec

from zeekfleet.node.simulator import configuration, process
from zeekfleet.node.simulator.rehearsal import rehearse
from zeekfleet.node.simulator.shown_variable import ShownVariable

DESCRIPTOR_VARIABLE = "ZEEKFLEET_FORKSERVER_FD"
MARK_VARIABLE = "ZEEKFLEET_LAUNCH"
LARGEST_PACKET = 1024 * 1024
HIGHEST_DESCRIPTOR = 1 << 20
FILE_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY


class Request(msgspec.Struct, frozen=True):
    """Fork one node; ``argv`` is what it would be executed as."""

    argv: tuple[str, ...]
    env: dict[str, str]
    directory: str
    stdout_file: str
    stderr_file: str
    cpu_affinity: int | None = None


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """The node's process id, or why there is none."""

    pid: int | None = None
    error: str | None = None


def serve() -> int:
    """Fork nodes until the socket is closed; the exit status."""
    try:
        server = socket.socket(fileno=int(os.environ[DESCRIPTOR_VARIABLE]))
    except (KeyError, ValueError, OSError) as error:
        print(f"error: {DESCRIPTOR_VARIABLE} must number a connected socket ({error})", file=sys.stderr)
        return 1
    mark = ShownVariable(MARK_VARIABLE)
    warm_up()
    with server:
        while packet := server.recv(LARGEST_PACKET):
            server.send(msgspec.json.encode(_launch(packet, mark)))
    return 0


def warm_up() -> None:
    """Do once what every node would do for itself, then keep the collector off the pages all of them share."""
    rehearse()
    gc.collect()
    gc.freeze()


def _launch(packet: bytes, mark: ShownVariable) -> Answer:
    try:
        request = msgspec.json.decode(packet, type=Request)
    except msgspec.MsgspecError as error:
        return Answer(error=f"no launch request: {error}")
    report, told = os.pipe2(os.O_CLOEXEC)
    try:
        intermediate = os.fork()
        if intermediate == 0:
            _be_intermediate(request, told, mark)
    except OSError as error:
        os.close(report)
        return Answer(error=f"fork: {error.strerror}")
    finally:
        os.close(told)
    with os.fdopen(report, "rb") as reader:
        text = reader.read()
    # Only now is the node an orphan that belongs to whoever adopts ours.
    os.waitpid(intermediate, 0)
    try:
        return msgspec.json.decode(text, type=Answer)
    except msgspec.MsgspecError:
        return Answer(error="the forked process ended unexpectedly")


def _be_intermediate(request: Request, told: int, mark: ShownVariable) -> NoReturn:
    """Prepare all that can fail, fork the node, tell, and end."""
    try:
        try:
            descriptors = _prepare(request)
            pid = os.fork()
            if pid == 0:
                os.close(told)
                _be_node(request, descriptors, mark)
            answer = Answer(pid=pid)
        except OSError as error:
            where = f": {os.fsdecode(error.filename)}" if error.filename else ""
            answer = Answer(error=f"{error.strerror}{where}")
        except ValueError as error:
            answer = Answer(error=str(error))
        os.write(told, msgspec.json.encode(answer))
    finally:
        os._exit(0)


def _prepare(request: Request) -> tuple[int, int, int]:
    """Directory, CPU and the three standard descriptors.

    Raises:
        OSError, ValueError: something of it cannot be had.
    """
    os.chdir(request.directory)
    if request.cpu_affinity is not None:
        try:
            os.sched_setaffinity(0, {request.cpu_affinity})
        except (OSError, ValueError, OverflowError) as error:
            raise ValueError(f"CPU {request.cpu_affinity} to pin to is offline or absent") from error
    return (
        os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC),
        os.open(request.stdout_file, FILE_FLAGS, 0o600),
        os.open(request.stderr_file, FILE_FLAGS, 0o600),
    )


def _be_node(request: Request, descriptors: tuple[int, int, int], mark: ShownVariable) -> NoReturn:
    status = 1
    try:
        launch = request.env.get(MARK_VARIABLE)
        if launch is not None:
            # A later stem knows it by this: which node it is, and which launch of it. First of all, before it
            # leads a session: by then it could be taken for a node of which nobody knows the launch.
            mark.show(launch)
        os.setsid()
        for standard, descriptor in enumerate(descriptors):
            os.dup2(descriptor, standard)
        os.closerange(3, HIGHEST_DESCRIPTOR)
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        if launch is not None:
            os.environ[MARK_VARIABLE] = launch  # what the node executes is known as its own
        os.environ.pop(DESCRIPTOR_VARIABLE, None)
        _rename(request.env.get(configuration.NAME_VARIABLE, "node"))
        # The node takes its environment as an argument; putting it into os.environ would cost 0.3 MiB.
        status = process.run(request.env, Path.cwd())
        sys.stdout.flush()
    except BaseException:  # the fork must end here, whatever happened, and never return into the warm process
        traceback.print_exc()
    finally:
        os._exit(status)


def _rename(name: str) -> None:
    """Show the node's name in process lists; a courtesy, so a refusal does not matter."""
    try:
        Path("/proc/self/comm").write_bytes(f"sim:{name}".encode()[:15])
    except OSError:
        return
