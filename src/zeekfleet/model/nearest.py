"""What somebody probably meant who misspelt a word."""

from __future__ import annotations

from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`` (did you mean 'restart'?)`` for the known word that is nearest, or nothing if none is near."""
    import difflib  # noqa: PLC0415 - only for those who mistype

    found = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean '{found[0]}'?)" if found else ""
