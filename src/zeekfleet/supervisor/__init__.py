"""Process supervision, the public Python API (docs/protocol.md, section 5).

::

    async with Supervisor("/var/lib/fleet", CommandEngine(["sleep", "1000"])) as supervisor:
        problem = await supervisor.create(NodeConfig(name="one"))
        supervisor.status().nodes["one"].pid
        await supervisor.restart("one")

The modules, from the outside in:

* ``tree``: the Supervisor · ``control``: the same, asked for by events
* ``identity``: whether this process is a Supervisor or a supervised node · ``engine``: how a node becomes a process
* ``watcher``, ``records``: what is known of the nodes · ``listeners``: hooks and callbacks that are told of it
* ``handle``: the connection to the stem · ``stem``: finds or starts the stem · ``recovery``: what a stem has lost
* ``places``: checks before a node is created · ``batches``: how many nodes are created at once
* ``follow``, ``lines``, ``tail``: reading the nodes' output · ``outputs``, ``rotation``: keeping it small
* ``report``, ``crash``, ``backtrace``, ``redaction``: reports of how a node ended
* ``memory_kills``, ``kernel_log``: whether the kernel killed it for lack of memory
* ``failing``, ``orphans``: ending processes that do not respond, reaping those that a dead stem left
"""

from zeekfleet.model.supervisor import ClusterEndpoint, NodeConfig, NodeStatus, Status
from zeekfleet.supervisor.engine import CommandEngine, Engine, LaunchContext
from zeekfleet.supervisor.identity import is_supervised, is_supervisor, node
from zeekfleet.supervisor.outputs import OutputLimits
from zeekfleet.supervisor.records import NodeExit, NodeStopping
from zeekfleet.supervisor.tree import Supervisor

__all__ = [
    "ClusterEndpoint",
    "CommandEngine",
    "Engine",
    "LaunchContext",
    "NodeConfig",
    "NodeExit",
    "NodeStatus",
    "NodeStopping",
    "OutputLimits",
    "Status",
    "Supervisor",
    "is_supervised",
    "is_supervisor",
    "node",
]
