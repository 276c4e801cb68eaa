"""The operator's grace for nodes, whatever engine launches them."""

from __future__ import annotations

import msgspec

from zeekfleet.model.launch import Engine, LaunchContext, LaunchSpec
from zeekfleet.model.supervisor import NodeConfig


class Graced:
    """Launches as another engine does, with the configured time between SIGTERM and SIGKILL.

    Args:
        engine: the other one.
        grace: that time, in seconds.
    """

    def __init__(self, engine: Engine, grace: float) -> None:
        self.name = engine.name
        self._engine = engine
        self._grace = grace

    def launch(self, config: NodeConfig, context: LaunchContext) -> LaunchSpec:
        """How to run a node.

        Raises:
            LaunchError: the node cannot be run as configured.
        """
        return msgspec.structs.replace(self._engine.launch(config, context), grace=self._grace)
