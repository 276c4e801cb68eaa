"""``python -m zeekfleet.node.simulator``: one simulated node; with ``--forkserver`` the warm process for many."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from zeekfleet.node.simulator import forkserver, process


def main(arguments: list[str]) -> int:
    """Run; the exit status."""
    if arguments == ["--forkserver"]:
        return forkserver.serve()
    if arguments:
        print("error: the only option is --forkserver; a node takes all it needs from its environment", file=sys.stderr)
        return 1
    return process.run(os.environ, Path.cwd())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
