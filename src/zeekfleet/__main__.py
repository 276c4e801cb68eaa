"""``python -m zeekfleet``."""

from __future__ import annotations

import sys

from zeekfleet.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
