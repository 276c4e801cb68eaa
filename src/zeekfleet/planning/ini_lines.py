"""Lines of a cluster configuration file that ConfigParser would silently misread.

It appends an indented line to the value above, and ignores text after a section's closing bracket.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

COMMENTS = ("#", ";")
"""The characters that begin a comment."""

_HEADER = re.compile(r"\[(?P<name>.+)\]")
_KEY = re.compile(r"(?P<key>.*?)\s*(?:[=:]|$)")


def problems(text: str, *, lists: Collection[str], keys: Collection[str]) -> Iterator[str]:
    """The problems, each a text that begins with the number of its line.

    Args:
        text: the file's content.
        lists: the keys whose values may span several lines.
        keys: all keys; an indented line that begins with a key is probably not meant to continue a value.
    """
    section = key = ""
    indent = 0
    for number, line in enumerate(text.split("\n"), 1):  # ConfigParser splits in the same way
        content = line.strip()
        if not content or content.startswith(COMMENTS):
            continue
        own_indent = len(line) - len(line.lstrip())
        if key and own_indent > indent:
            if problem := _continuation_problem(content, key, lists, keys):
                yield f"line {number}: section [{section}], key '{key}': {problem}"
            continue
        indent = own_indent
        if header := _HEADER.match(content):
            section, key = header["name"], ""
            rest = content[header.end() :].strip()
            if rest and not rest.startswith(COMMENTS):
                yield f"line {number}: section [{section}]: '{rest}' stands after the section's name, expected nothing"
        elif section and (found := _KEY.match(content)):
            key = found["key"]


def _continuation_problem(content: str, key: str, lists: Collection[str], keys: Collection[str]) -> str:
    """Why an indented line cannot continue the value of the key above; ``""`` if it can."""
    if key.lower() not in lists:
        allowed = " and ".join(sorted(lists))
        return f"the indented line '{content}' would be a part of its value, which only {allowed} may have"
    begins = _KEY.match(content)
    is_key = begins is not None and begins.end() > begins.end("key") and begins["key"].lower() in keys
    if is_key or _HEADER.fullmatch(content):
        return f"the indented line '{content}' would be a part of its value; a line of its own is not indented"
    return ""
