"""Checking nodes' scripts with ``zeek -a``: which nodes need a run of their own, its command line, its errors."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from zeekfleet.model.enums import ClusterRole
from zeekfleet.model.supervisor import NodeConfig

VARIABLES = {"ZEEKCTL_CHECK_CONFIG": "1", "ZEEKCTL_DISABLE_LISTEN": "1"}
"""Variables that tell scripts that they are only checked; ZeekControl sets the same."""

MOST_ERRORS = 20
"""The most errors that are reported of one run."""

LAST_LINES = 3
"""How many last lines are reported if Zeek failed and none of its lines is marked as an error."""


def groups(configs: Iterable[NodeConfig], ignored_variables: Collection[str]) -> list[list[NodeConfig]]:
    """Group the nodes whose scripts see the same settings: one run is enough for each group.

    Args:
        configs: the nodes of one instance.
        ignored_variables: variables that differ between nodes and that no script reads.
    """
    found: dict[tuple[object, ...], list[NodeConfig]] = {}
    for config in configs:
        found.setdefault(_script_inputs(config, ignored_variables), []).append(config)
    return list(found.values())


def _script_inputs(config: NodeConfig, ignored_variables: Collection[str]) -> tuple[object, ...]:
    own = config.cluster.get(config.name)
    scripts = (*config.addl_base_scripts, *config.addl_user_scripts)
    relative = any(script.startswith(".") for script in scripts) or config.pcap_file is not None
    return (
        own.role if own is not None else ClusterRole.NONE,
        own is not None,
        config.pcap_file,
        config.directory if relative else None,
        config.bare_mode,
        scripts,
        tuple(sorted((key, value) for key, value in config.env.items() if key not in ignored_variables)),
    )


def command_line(argv: Sequence[str], directory: str) -> tuple[str, ...]:
    """The node's command line, changed to read the scripts and stop (``-a``).

    Args:
        argv: the node's command line, with the program first.
        directory: the node's directory; relative scripts are found there although Zeek runs elsewhere.
    """
    program, *arguments = argv
    return (program, "-a", *(_from(directory, argument) for argument in arguments))


def _from(directory: str, argument: str) -> str:
    return f"{directory}/{argument}" if argument.startswith(("./", "../")) else argument


def reported_errors(stderr: str) -> list[str]:
    """The errors of a Zeek that refused its scripts, one text each: its error lines, else the last lines it wrote."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("error", "fatal error", "internal error"))]
    found = list(dict.fromkeys(errors)) or lines[-LAST_LINES:]
    more = len(found) - MOST_ERRORS
    return [*found[:MOST_ERRORS], f"{more} more errors"] if more > 0 else found
