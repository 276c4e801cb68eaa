"""A controller whose store fails as the environment says: ``STATE CLIENTS AGENTS METRICS`` are its arguments.

The composition is the daemon's own; only the store is wrapped.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from zeekfleet.daemon import controller
from zeekfleet.daemon.run import run
from zeekfleet.resolution import resolve
from zeekfleet.store.interface import Store
from zeekfleet.store.sqlite import SqliteStore

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.failing import with_fault_from_environment


def open_store(path: Path) -> Store:
    return with_fault_from_environment(SqliteStore(path), os.environ)


def main(state: str, clients: str, agents: str, metrics: str) -> int:
    given = {
        "common.state_dir": state,
        "controller.name": "c",
        "controller.websocket_port": clients,
        "controller.port": agents,
        "controller.auto_assign_metrics_start_port": metrics,
    }
    settings = resolve(("common", "controller"), given, {}).settings
    return run(settings.common, lambda stop: controller.serve(settings, stop, open_store))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
