"""Suggestions for misspelt words."""

from __future__ import annotations

from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`` (did you mean 'restart'?)`` with the most similar known word; ``""`` if no word is similar."""
    import difflib  # noqa: PLC0415 - it is slow to import, and needed only after a mistake

    found = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean '{found[0]}'?)" if found else ""
