"""Process supervision, the public Python API (docs/protocol.md, section 5).

::

    async with Supervisor("/var/lib/fleet", CommandEngine(["sleep", "1000"])) as supervisor:
        problem = await supervisor.create(NodeConfig(name="one"))
        supervisor.status().nodes["one"].pid
        await supervisor.restart("one")

``tree`` the Supervisor · ``watcher`` what it knows · ``handle`` its connection to the stem ·
``stem`` starts that · ``follow``, ``lines``, ``tail`` the nodes' output ·
``listeners`` hooks and callbacks · ``places`` files and checks · ``identity`` who am I ·
``engine`` what a node is launched as · ``control`` the same by events.
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
