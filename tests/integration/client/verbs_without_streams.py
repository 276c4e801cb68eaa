"""Runs verbs, each in a process of its own, with standard streams that are closed or whose terminal is gone.

Arguments: the controller's port. Prints a JSON document: by the verb's words and the manner, the exit code.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback

from zeekfleet.cli.main import main
from zeekfleet.cli.purposes import VERBS

CRASHED = 99
ARGUMENTS = {
    "get-id-value": ("x",),
    "set-option": ("x", "1"),
    "diag": ("n1",),
    "restart": ("n1",),
    "show-settings": ("controller",),
    "pki": ("init", "--directory", "pki", "--force"),
}
DAEMONS = ("up", "controller", "agent", "supervise", "stop", "systemd")
"""Verbs that start, end or install what is real: these are only asked for help."""

MANNERS: dict[str, tuple[int, ...]] = {
    "plain": (),
    "no stdin": (0,),
    "no stdout": (1,),
    "no stderr": (2,),
    "no stream": (0, 1, 2),
    "no terminal": (),
}


def words_of(verb: str) -> tuple[str, ...]:
    if verb in DAEMONS:
        return (verb, "--help")
    if verb in ("check", "deploy-config", "stage-config"):
        return (verb, "cluster.ini")
    return (verb, *ARGUMENTS.get(verb, ()))


def run(words: tuple[str, ...], manner: str) -> int:
    pid = os.fork()
    if not pid:
        os._exit(_child(words, manner))
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _child(words: tuple[str, ...], manner: str) -> int:
    real = os.dup(2)
    if manner == "no terminal":
        ours, theirs = os.openpty()
        os.close(ours)
        for descriptor in (0, 1, 2):
            os.dup2(theirs, descriptor)
        os.close(theirs)
    else:
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        os.close(null)
    for descriptor in MANNERS[manner]:
        os.close(descriptor)
    # What Python makes of its descriptors when it starts.
    streams = ("stdin", "stdout", "stderr")
    for descriptor, (name, mode) in enumerate(zip(streams, "rww", strict=True)):
        try:
            setattr(sys, name, open(descriptor, mode, closefd=False))  # noqa: SIM115
        except OSError:
            setattr(sys, name, None)
    try:
        code = main(words)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()  # as Python does at the end, by which its exit code may change
    except BaseException:
        os.write(real, f"{words}, {manner}: {traceback.format_exc()}".encode())
        return CRASHED
    return code


if __name__ == "__main__":
    port = sys.argv[1]
    codes: dict[str, dict[str, int]] = {}
    for verb in VERBS:
        importlib.import_module(f"zeekfleet.cli.{verb.replace('-', '_')}")
        if verb in ("monitor", "test-timeout"):  # the one never ends, the other waits as long as it may
            continue
        words = words_of(verb)
        target = () if verb in (*DAEMONS, "help", "pki") else ("--controller", f"127.0.0.1:{port}")
        codes[verb] = {manner: run((*target, *words), manner) for manner in MANNERS}
    print(json.dumps(codes))
