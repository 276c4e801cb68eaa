"""All verbs in one class: every request to a controller, and how its answer is read (docs/protocol.md, section 8).

Each verb is a module of ``verbs``. Two classes have all of them: :class:`~zeekfleet.client.Client` uses asyncio, and
:class:`~zeekfleet.client.blocking.BlockingClient` has no event loop, for the command line, which must start fast.

Where a method takes ``nodes``, these are names and groups (``workers``, ``@sensor-1``,
``worker-*``: see ``node_groups``); none means all. ``timeout`` is in seconds and
counts anew at each sign of progress; None means the client's own.
"""

from __future__ import annotations

from zeekfleet.client.verbs.check import CheckVerb
from zeekfleet.client.verbs.deploy_config import DeployConfigVerb
from zeekfleet.client.verbs.diag import DiagVerb
from zeekfleet.client.verbs.events import EventsVerb
from zeekfleet.client.verbs.get_instances import GetInstancesVerb
from zeekfleet.client.verbs.net_stats import NetStatsVerb
from zeekfleet.client.verbs.peer_stats import PeerStatsVerb
from zeekfleet.client.verbs.rolling_restart import RollingRestartVerb
from zeekfleet.client.verbs.set_option import SetOptionVerb
from zeekfleet.client.verbs.status import StatusVerb
from zeekfleet.client.verbs.test_timeout import TestTimeoutVerb
from zeekfleet.client.verbs.version import VersionVerb


class Requests(
    CheckVerb,
    DeployConfigVerb,
    DiagVerb,
    EventsVerb,
    GetInstancesVerb,
    NetStatsVerb,
    PeerStatsVerb,
    RollingRestartVerb,
    SetOptionVerb,
    StatusVerb,
    TestTimeoutVerb,
    VersionVerb,
):
    """All verbs. Subclasses implement how requests are sent and events arrive (:class:`~.carrier.Carrier`)."""
