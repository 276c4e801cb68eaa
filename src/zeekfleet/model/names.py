"""Names of nodes and instances, which become directories, files and topics."""

from __future__ import annotations

from urllib.parse import quote

MAX_NAME_BYTES = 128
"""Longest name of an instance or node, in UTF-8: file names are made of it."""


NODES = "nodes"
"""Where in the state directory each node has a directory of its own."""


def name_problem(name: str) -> str | None:
    """Why the name cannot become a directory and a topic, or None if it can."""
    if not name:
        return "is empty"
    if name in {".", ".."}:
        return "means a directory"
    if "/" in name:
        return "contains a slash"
    if any(character.isspace() or not character.isprintable() for character in name):
        return "contains a space or an unprintable character"
    if len(name.encode()) > MAX_NAME_BYTES:
        return f"is longer than {MAX_NAME_BYTES} bytes"
    return None


def directory_name(name: str) -> str:
    """One plain component of a path for any name at all, also one that :func:`name_problem` refuses."""
    if name in {".", ".."}:
        return name.replace(".", "%2E")
    return quote(name, safe=":@+,=", errors="surrogatepass") or "%"
