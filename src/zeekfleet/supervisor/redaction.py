"""Replaces secrets in environments and command lines by ``***``, before these are written to reports or shown."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

REDACTED = "***"

_WORDS = "KEY|SECRET|TOKEN|PASS|PWD|CREDENTIAL|COOKIE|PRIVATE|AUTH|COMMUNITY"
"""The last is SNMP's."""

_SECRET = re.compile(_WORDS, re.IGNORECASE)
_DIRECTORIES = frozenset({"PWD", "OLDPWD"})
"""These contain ``PWD``, but are directories that every shell sets."""

_ASSIGNMENT = re.compile(r"(?P<name>[^=\s]+)=.*", re.DOTALL)
_NAME = rf"[\w.:-]*(?:{_WORDS})[\w.-]*"
_WITHIN = (
    # Within a longer word, such as the command of a shell: header lines, assignments, options, passwords in URLs.
    (re.compile(rf"\b({_NAME}\s*:\s+)[^\"'\r\n]+", re.IGNORECASE), rf"\1{REDACTED}"),
    (re.compile(rf"({_NAME}\s*=\s*)(?:\"[^\"]*\"|'[^']*'|[^\s\"',;&]+)", re.IGNORECASE), rf"\1{REDACTED}"),
    (re.compile(rf"((?<!\S)--?{_NAME}\s+)(?:\"[^\"]*\"|'[^']*'|(?!--)\S+)", re.IGNORECASE), rf"\1{REDACTED}"),
    # A password in a URL should not, but may, contain a slash or an @ itself.
    (re.compile(r"(\b\w[\w+.-]*://[^/\s:@]*:)[^\s\"']+(?=@)"), rf"\1{REDACTED}"),
)


def tells_of_secret(name: str) -> bool:
    """Whether the value of a variable or option of that name may be a secret."""
    return name not in _DIRECTORIES and _SECRET.search(name) is not None


def redact_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables with secrets replaced: whole values where the name tells of a secret, else secrets in the value."""
    return {
        name: REDACTED if tells_of_secret(name) else redact_text(value) for name, value in sorted(environment.items())
    }


def redact_command(argv: Sequence[str]) -> tuple[str, ...]:
    """The command line, with everything replaced that is assigned to, or follows, a name that tells of a secret."""
    redacted: list[str] = []
    hide_next = False
    for word in argv:
        assignment = _ASSIGNMENT.fullmatch(word)
        if hide_next and not word.startswith("--"):
            redacted.append(REDACTED)
            hide_next = False
            continue
        if assignment and tells_of_secret(assignment["name"]):
            redacted.append(f"{assignment['name']}={REDACTED}")
        else:
            redacted.append(redact_text(word))
        hide_next = assignment is None and _is_option(word) and tells_of_secret(word)
    return tuple(redacted)


def _is_option(word: str) -> bool:
    return word.startswith("-") and not any(character.isspace() for character in word)


def redact_text(word: str) -> str:
    """The text, with each value replaced that stands beside a name that tells of a secret, and passwords in URLs."""
    for pattern, replacement in _WITHIN:
        word = pattern.sub(replacement, word)
    return word
