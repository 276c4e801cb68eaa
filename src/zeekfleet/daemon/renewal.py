"""Keeps a daemon's certificate valid, and its list of revoked certificates up to date, by replacing their files.

``daemon/tls.py`` notices new files, and new connections use them. Existing connections stay.
"""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import msgspec

from zeekfleet.daemon.tls import DaemonTls
from zeekfleet.errors import PkiError, ZeekfleetError
from zeekfleet.model.names import AUTHORITY_KEY, REVOKED
from zeekfleet.security.certificates import Validity, date_text, list_number, validity_of_file
from zeekfleet.security.identity import Identity
from zeekfleet.system.files import sync_directory, write_private
from zeekfleet.transport.tls import try_out
from zeekfleet.waiting import Backoff, first_of

logger = logging.getLogger(__name__)

SHARE_LEFT: Final = 1 / 3
"""A certificate is renewed when this part of its life is left,"""

JITTER: Final = 0.2
"""or up to this part of that later, so that a fleet that was set up in one hour does not renew in one."""

LOOK_AGAIN: Final = 3600.0
"""The time is checked at least every so many seconds, since the clock may have been set."""

FIRST_PAUSE, LONGEST_PAUSE = 60.0, 3600.0
"""Seconds between attempts that failed, at most."""

REVOKED_OURSELVES: Final = 23
"""OpenSSL's code for a certificate that is in the list of revoked ones."""

Renew = Callable[[str], Awaitable[str]]
"""Called with the present certificate, returns a new one, both as PEM."""


class Renewal:
    """Replaces a daemon's own files.

    Args:
        tls: the daemon's TLS; its files are those in the state directory.
        owner: the owner of the certificate.
        part: returns a random number from 0 to 1.
        clock: the time, in seconds since 1970.
        sleep: waits for a number of seconds.
    """

    def __init__(
        self,
        tls: DaemonTls,
        owner: Identity,
        part: Callable[[], float] = random.random,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._tls = tls
        self._owner = owner
        self._directory = tls.directory
        self._later = SHARE_LEFT * JITTER * part()
        self._clock = clock
        self._sleep = sleep

    async def run(self, renew: Renew) -> None:
        """Renew the certificate in time, again and again, until cancelled."""
        backoff = Backoff(FIRST_PAUSE, LONGEST_PAUSE)
        while True:
            left = self._time_left()
            if left > 0:
                backoff.reset()
                pause = min(left, LOOK_AGAIN)
            else:
                await self._renew(renew)
                pause = backoff.next() if self._time_left() <= 0 else 0.0
            await first_of(self._sleep(pause), self._tls.renewed.next())

    async def keep_list(self, revoked: Callable[[], Awaitable[str]]) -> None:
        """Keep the newest list of revoked certificates, until cancelled.

        Args:
            revoked: waits for a list, as PEM.
        """
        while True:
            told = await revoked()
            try:
                if await asyncio.to_thread(self.take_list, told.encode()):
                    logger.info("there is a new list of revoked certificates")
            except (ZeekfleetError, OSError, ValueError) as error:
                text = "the list of revoked certificates that the controller has sent is not used: %s"
                logger.warning(text, error, extra={"error": str(error)})

    def take_list(self, revoked: bytes) -> bool:
        """Replace the list of revoked certificates if this one is newer. Returns whether it is.

        Raises:
            PkiError: with this list, no peer would be accepted any more.
            TlsFileError, OSError, ValueError: it is not such a list, or cannot be written.
        """
        file = self._directory / REVOKED
        if (self._directory / AUTHORITY_KEY).exists():
            return False  # this is the authority's own list, so no other can be newer
        number = list_number(revoked)
        if file.exists() and number <= _number_of(file):
            return False
        draft = file.with_name(f"{file.name}.next")
        write_private(draft, revoked)
        try:
            try_out(msgspec.structs.replace(self._tls.files, revoked=str(draft)))
        except ssl.SSLCertVerificationError as error:
            if error.verify_code != REVOKED_OURSELVES:
                draft.unlink()
                raise PkiError(f"no peer would be accepted with it: {error.verify_message}") from None
        except BaseException:
            draft.unlink()
            raise
        draft.replace(file)
        sync_directory(self._directory)
        return True

    def install(self, certificate: bytes) -> Validity:
        """Replace the certificate. Returns the period in which the new one is valid.

        Raises:
            PkiError: it does not belong to us, is not valid for longer than the present one, or is not accepted.
            TlsFileError, OSError, ValueError: it is not a certificate, is not for our key, or cannot be written.
        """
        file = Path(self._tls.files.certificate)
        present = self._validity()
        draft = file.with_name(f"{file.name}.next")
        write_private(draft, certificate)
        try:
            renewed = validity_of_file(str(draft))
            if renewed.end <= present.end:
                raise PkiError(f"it would be valid until {date_text(renewed.end)} only, as the present one")
            found = try_out(msgspec.structs.replace(self._tls.files, certificate=str(draft)))
            if found != self._owner:
                raise PkiError(f"it is that of {found or 'nobody'}")
            draft.replace(file)
        except ssl.SSLCertVerificationError as error:
            raise PkiError(f"it would not be accepted: {error.verify_message}") from None
        finally:
            draft.unlink(missing_ok=True)
        sync_directory(file.parent)
        return renewed

    async def _renew(self, renew: Renew) -> None:
        try:
            certificate = await renew(self._present())
            renewed = await asyncio.to_thread(self.install, certificate.encode())
        except (ZeekfleetError, OSError, ValueError) as error:
            text = "the certificate of %s is not renewed, which is tried again within the hour: %s"
            logger.warning(text, self._owner, error, extra={"error": str(error)})
        else:
            logger.info("the certificate of %s is renewed, valid until %s", self._owner, date_text(renewed.end))

    def _present(self) -> str:
        return Path(self._tls.files.certificate).read_text(encoding="ascii")

    def _time_left(self) -> float:
        """Seconds until the certificate should be renewed."""
        try:
            found = self._validity()
        except (OSError, ValueError):
            return LOOK_AGAIN  # it is being replaced, or the log says what is wrong with it
        return found.end - (SHARE_LEFT - self._later) * (found.end - found.begin) - self._clock()

    def _validity(self) -> Validity:
        return validity_of_file(self._tls.files.certificate)


def _number_of(file: Path) -> int:
    try:
        return list_number(file.read_bytes())
    except ValueError:
        return 0
