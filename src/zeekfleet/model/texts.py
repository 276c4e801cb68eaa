"""Texts from outside, made safe to show: names, output of nodes, values in files, what peers tell.

A terminal obeys what it is shown: a control character moves the cursor, changes the window's title or forges a line.
So whatever a person sees, in a log, an error or a table, goes through these functions.
"""

from __future__ import annotations


def printable(text: str) -> str:
    """The text without anything that could control a terminal; only line breaks and tabs are not escaped.

    Controls, invisible format characters (such as those that reverse the order of reading) and lone surrogates become
    ``\\x1b`` or ``\\u202e``.
    """
    if text.isprintable():
        return text
    import unicodedata  # noqa: PLC0415 - half a megabyte that most processes never need

    return "".join(
        character
        if character in "\n\t" or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Zl", "Zp")
        else _code(character)
        for character in text
    )


def one_line(text: str) -> str:
    """The same on one line: line breaks and tabs become spaces."""
    if text.isprintable():
        return text
    return printable(text.replace("\r\n", "\n")).replace("\n", " ").replace("\t", " ")


def shown(text: str, limit: int = 200) -> str:
    """The beginning of a value, short enough for a sentence, with all that is not printable escaped."""
    readable = text if text.isprintable() else text.encode("unicode_escape").decode("ascii")
    return readable if len(readable) <= limit else f"{readable[:limit]}..."


def _code(character: str) -> str:
    number = ord(character)
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
