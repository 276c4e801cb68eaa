"""What a process may do beside its user's rights (capabilities(7))."""

from __future__ import annotations

from zeekfleet.system import procfs

NUMBERS = {
    "CAP_CHOWN": 0,
    "CAP_DAC_OVERRIDE": 1,
    "CAP_FOWNER": 3,
    "CAP_KILL": 5,
    "CAP_SETGID": 6,
    "CAP_SETUID": 7,
    "CAP_NET_BIND_SERVICE": 10,
    "CAP_NET_ADMIN": 12,
    "CAP_NET_RAW": 13,
    "CAP_SYS_PTRACE": 19,
}
"""Those that matter here, with their numbers in the kernel."""


def of_mask(mask: int) -> frozenset[str]:
    """The capabilities in a bit mask."""
    return frozenset(name for name, number in NUMBERS.items() if mask >> number & 1)


def effective() -> frozenset[str]:
    """Those that this thread has."""
    return of_mask(int(procfs.status("thread-self").get("CapEff", "0"), 16))


def permitted() -> frozenset[str]:
    """Those that this thread may give itself, or keep when it changes its user."""
    return of_mask(int(procfs.status("thread-self").get("CapPrm", "0"), 16))
