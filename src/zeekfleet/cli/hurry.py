"""``--now``: nodes that are being stopped are killed when their grace is over, even if they still write."""

from __future__ import annotations

import argparse


def add_now(parser: argparse.ArgumentParser) -> None:
    """Declare the option."""
    parser.add_argument(
        "--now",
        action="store_true",
        help="Do not wait for loggers that still write: they are killed after their grace, like other nodes.",
    )
