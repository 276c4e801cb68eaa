"""What ``/proc/<pid>/environ`` shows of a forked process: the memory that its first program was executed with.

A fork that changes ``os.environ`` changes what its own children get, but not what others
see of it. Who wants that as well has to write into that very memory, in place.
"""

from __future__ import annotations

import ctypes
import itertools
import os


class ShownVariable:
    """A variable that this process was executed with.

    To be made before anything changes the variable.

    Args:
        name: the variable's.
    """

    def __init__(self, name: str) -> None:
        self._address, self._room = _found(os.fsencode(name) + b"=")

    def show(self, value: str) -> bool:
        """Have others see this value, if it is not longer than the one that the process was executed with."""
        content = os.fsencode(value)
        if len(content) > self._room:
            return False
        ctypes.memmove(self._address, content.ljust(self._room, b"\0"), self._room)
        return True


def _found(start: bytes) -> tuple[int, int]:
    """Where the value of the entry that begins so lies in memory, and its length; no room if there is none such."""
    entries = ctypes.POINTER(ctypes.c_void_p).in_dll(ctypes.CDLL(None), "environ")
    for index in itertools.count():
        if not (address := entries[index]):
            return 0, 0
        if (entry := ctypes.string_at(address)).startswith(start):
            return address + len(start), len(entry) - len(start)
    raise AssertionError("the table of variables has an end")
