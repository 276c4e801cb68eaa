"""Whether this process is a Supervisor, a supervised node, or neither (docs/protocol.md, section 5).

A supervised process reads its configuration from a file with mode 0600, whose path is in the environment variable
``ZEEKFLEET_NODE_CONFIG``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec

from zeekfleet.errors import NotSupervisorError
from zeekfleet.model.launch import LaunchSpec
from zeekfleet.model.names import CONFIG_FILE
from zeekfleet.model.supervisor import NodeConfig
from zeekfleet.model.variables import NODE_CONFIG

_supervisors: set[int] = set()


def encode_config(config: NodeConfig) -> str:
    """A node's configuration as JSON text."""
    return msgspec.json.encode(config, enc_hook=str).decode()


def _construct(kind: type[Any], value: Any) -> Any:
    return kind(value)


def decode_config(text: str | bytes) -> NodeConfig:
    """The inverse of :func:`encode_config`.

    Raises:
        msgspec.MsgspecError: the text is not a configuration.
    """
    return msgspec.json.decode(text, type=NodeConfig, dec_hook=_construct)


def given_to(spec: LaunchSpec, config: NodeConfig) -> LaunchSpec:
    """Add the configuration to a launch, as a file: the node reads it, and so does the next Supervisor."""
    return msgspec.structs.replace(
        spec,
        env={**spec.env, NODE_CONFIG: str(Path(spec.directory) / CONFIG_FILE)},
        files={**spec.files, CONFIG_FILE: encode_config(config)},
    )


def enter(supervisor: object) -> None:
    """Note that this process is a Supervisor from now on."""
    _supervisors.add(id(supervisor))


def leave(supervisor: object) -> None:
    """The opposite of :func:`enter`."""
    _supervisors.discard(id(supervisor))


def is_supervisor() -> bool:
    """Whether this process is a Supervisor."""
    return bool(_supervisors)


def is_supervised() -> bool:
    """Whether this process is a supervised node."""
    return NODE_CONFIG in os.environ


def node() -> NodeConfig:
    """This node's own configuration.

    Raises:
        NotSupervisorError: this process is not supervised, or its configuration cannot be read.
    """
    path = os.environ.get(NODE_CONFIG)
    if path is None:
        raise NotSupervisorError("node() was called in a process that is not a supervised node")
    try:
        return decode_config(Path(path).read_bytes())
    except (OSError, msgspec.MsgspecError) as error:
        raise NotSupervisorError(f"node() cannot read this node's configuration {path}: {error}") from error
