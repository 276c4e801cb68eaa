"""``python -m zeekfleet.node.simulator``: one simulated node."""

from __future__ import annotations

import os
import sys

from zeekfleet.node.simulator import process


def main(arguments: list[str]) -> int:
    """Run one node. Returns the exit status."""
    if arguments:
        print("error: there are no options; a node takes all it needs from its environment", file=sys.stderr)
        return 1
    return process.run(os.environ, os.getcwd())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
