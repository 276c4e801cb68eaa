"""The meanings of the commands' exit codes, for the manual pages and the reference."""

from __future__ import annotations

from collections.abc import Mapping

MISUNDERSTOOD = "The command line cannot be understood."

COMMON: Mapping[int, str] = {
    0: "What was asked for is done.",
    1: "Something that was asked for is not done; standard error tells what.",
    2: MISUNDERSTOOD,
    130: "Interrupted by Ctrl-C.",
    141: "Whoever read the output has closed it.",
}
"""The exit codes of commands that end by themselves."""

DAEMON: Mapping[int, str] = {
    0: "It was told to stop, and has stopped all that it had to stop.",
    1: "It could not start, or a second signal ended it before everything had stopped.",
    2: MISUNDERSTOOD,
}
"""The exit codes of commands that stay in the foreground."""

_DAEMONS = frozenset({"agent", "controller", "supervise", "up"})

_NO_DEPLOYMENT = "The configuration is not deployed, or a node did not come up."

_OWN: Mapping[str, Mapping[int, str]] = {
    "audit": {1: "The audit log cannot be read, or with --verify: its chain is broken."},
    "check": {0: "Nothing was found.", 1: "Something was found, or an instance could not be checked."},
    "deploy": {1: _NO_DEPLOYMENT},
    "deploy-config": {1: _NO_DEPLOYMENT},
    "get-id-value": {1: "A node that was asked has not answered with a value."},
    "get-nodes": {1: "An instance has not reported its nodes."},
    "monitor": {0: "Never: it goes on until it is interrupted."},
    "net-stats": {1: "A node that was asked has not answered."},
    "peer-stats": {1: "A node that was asked has not answered."},
    "restart": {1: "A node was not restarted."},
    "set-option": {1: "A node that was asked has not set the option."},
    "status": {
        1: "Every node that should run does run, but an instance has not reported everything.",
        3: "A node that should run does not, or it is unknown whether it does.",
    },
    "stop": {0: "Nothing runs any more, or nothing ran before; standard output tells which."},
    "systemd": {1: "The unit cannot be made, cannot be written, or another one is there; nothing is changed."},
    "up": {1: "It could not start, a trace was not read or written completely, or a second signal ended it."},
}


def of(verb: str) -> dict[int, str]:
    """A command's exit codes in ascending order, with their meanings."""
    common = DAEMON if verb in _DAEMONS else COMMON
    return dict(sorted((dict(common) | dict(_OWN.get(verb, {}))).items()))
