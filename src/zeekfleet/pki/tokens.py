"""The tokens by which agents may join: one for each name, kept beside the authority as a hash of its secret.

    tokens/agent-NAME.json

Calls wait for the disk, and for other processes that use the directory. So daemons make them in a thread.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

import msgspec

from zeekfleet.errors import JoinRefusedError, PkiError
from zeekfleet.model.names import name_problem
from zeekfleet.pki import reading
from zeekfleet.pki.directory import TOKENS, PkiDirectory, locked, read_file, sentences
from zeekfleet.pki.join_token import TTL, JoinToken, hashed, make_token
from zeekfleet.pki.records import Issued
from zeekfleet.security.certificates import date_text
from zeekfleet.security.identity import Identity, PeerRole
from zeekfleet.system.exposure import private_directory_problem
from zeekfleet.system.files import make_private_directory, sync_directory, write_private

MAX: Final = 10_000
"""The most tokens that may exist at the same time."""

KEPT: Final = 7 * 86400.0
"""Seconds for which a token is remembered after its end, so that the log can say why it is refused."""

TOLERANCE: Final = 300.0
"""The clock may be set back by so many seconds without a token being refused."""

NO_HASH: Final = "0" * 64

State = Literal["waiting", "used", "expired", "not valid yet"]


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """The stored record of a token; times are seconds since 1970.

    Attributes:
        role: the role of the program that may join.
        name: the name of the program that may join.
        hosts: names and addresses that its certificate is for.
        hash: the SHA-256 of the token's secret, in hexadecimal.
        made: when it was made.
        expires: until when it is accepted.
        used: when it was used; None if it was not.
        used_by: the address from which it was used.
    """

    role: PeerRole
    name: str
    hosts: tuple[str, ...] = ()
    hash: str
    made: float
    expires: float
    used: float | None = None
    used_by: str = ""

    @property
    def identity(self) -> Identity:
        """The identity for which it gives a certificate."""
        return Identity(self.role, self.name)

    def state(self, now: float) -> State:
        """Its state at this time."""
        if self.used is not None:
            return "used"
        if now > self.expires:
            return "expired"
        return "waiting" if now >= self.made - TOLERANCE else "not valid yet"

    def problem(self, now: float) -> str | None:
        """Why it is not accepted now; None if it is."""
        match self.state(now):
            case "used":
                return f"the token was used on {date_text(self.used or 0.0)} from {self.used_by} already"
            case "expired":
                return f"the token has expired on {date_text(self.expires)}"
            case "not valid yet":
                return f"the token was made on {date_text(self.made)}, and it is {date_text(now)} here"
        return None


class Tokens:
    """The tokens of an authority.

    Args:
        pki: the authority's directory.
        clock: seconds since 1970.

    Raises:
        PkiError: another user could read or change them.
    """

    def __init__(self, pki: PkiDirectory, clock: Callable[[], float] = time.time) -> None:
        self._pki = pki
        self._clock = clock
        self._path = pki.path / TOKENS
        with sentences():
            make_private_directory(self._path)
            if self._path.is_symlink():
                raise PkiError(f"{self._path} is a symbolic link: expected a directory")
            if problem := private_directory_problem(self._path):
                raise PkiError(problem)

    def create(self, name: str, ttl: float = TTL, hosts: Sequence[str] = ()) -> tuple[JoinToken, Kept]:
        """Make a token for an agent. It replaces the agent's present one.

        Args:
            name: the agent's name.
            ttl: seconds for which it is accepted.
            hosts: canonical names and addresses that its certificate will be for.

        Raises:
            PkiError: the name or a host is not allowed, the authority can issue nothing, or the file cannot be written.
        """
        identity = Identity(PeerRole.AGENT, name)
        self._pki.check(identity, hosts)
        token = make_token(name, reading.fingerprint(self._pki.certificate))
        now = self._clock()
        kept = Kept(
            role=identity.role,
            name=name,
            hosts=tuple(dict.fromkeys(hosts)),
            hash=hashed(token.secret),
            made=now,
            expires=now + ttl,
        )
        with self._at_work():
            left = self._forget(now)
            if len(left) >= MAX:
                raise PkiError(f"there are {MAX} tokens in {self._path} already: revoke some")
            self._keep(kept)
        return token, kept

    def kept(self) -> list[Kept]:
        """All tokens, sorted by name.

        Raises:
            PkiError: one cannot be read.
        """
        with sentences():
            files = sorted(self._path.glob("*.json"))
        return sorted((_read(file) for file in files), key=lambda kept: kept.identity)

    def revoke(self, name: str) -> Kept:
        """Forget an agent's token.

        Raises:
            PkiError: it has none.
        """
        with self._at_work():
            kept = self._find(name)
            if kept is None:
                raise PkiError(f"there is no token for agent '{name[:80]}'")
            self._file(name).unlink()
            sync_directory(self._path)
        return kept

    def redeem(
        self, name: str, secret: str, request: str, address: str, is_taken: Callable[[], bool] = lambda: False
    ) -> Issued:
        """Issue a certificate for a token, and record that the token was used.

        Args:
            name: the name of the agent that wants to join.
            secret: the secret of its token.
            request: the request for a certificate, as PEM.
            address: the agent's address, for the log.
            is_taken: returns whether an agent with this name is connected; then no other agent can have the name.

        Raises:
            JoinRefusedError: the token is not accepted. It stays as it was.
            PkiError: the authority cannot issue the certificate.
        """
        with self._at_work():
            kept = None if name_problem(name) else self._find(name)
            # The comparison takes the same time, whether there is a token or not, and whatever its content is.
            is_right = hmac.compare_digest(NO_HASH if kept is None else kept.hash, hashed(secret))
            if kept is None:
                raise JoinRefusedError("there is no token for this name")
            if not is_right:
                raise JoinRefusedError("the secret is not that of the token for this name")
            now = self._clock()
            if problem := kept.problem(now):
                raise JoinRefusedError(problem)
            if is_taken():
                raise JoinRefusedError(
                    "an agent of this name is connected", f"an agent named {name} is connected: stop it, then join"
                )
            try:
                key = reading.public_key_of_request(request.encode())
            except PkiError as error:
                raise JoinRefusedError(str(error)) from None
            self._pki.check(kept.identity, kept.hosts)
            # Write this to disk first: whatever happens afterwards, nobody can use the token again.
            self._keep(msgspec.structs.replace(kept, used=now, used_by=address))
        return self._pki.issue(kept.identity, kept.hosts, key)

    def _find(self, name: str) -> Kept | None:
        with sentences():
            return _read(self._file(name)) if not name_problem(name) and self._file(name).exists() else None

    def _forget(self, now: float) -> list[Kept]:
        """Remove the tokens that ended long ago. Returns the others."""
        left = []
        for kept in self.kept():
            if now > kept.expires + KEPT:
                self._file(kept.name).unlink(missing_ok=True)
            else:
                left.append(kept)
        return left

    def _keep(self, kept: Kept) -> None:
        write_private(self._file(kept.name), msgspec.json.format(msgspec.json.encode(kept)) + b"\n")
        sync_directory(self._path)

    def _file(self, name: str) -> Path:
        return self._path / f"{PeerRole.AGENT}-{name}.json"

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        with sentences(), locked(self._path):
            yield


def controller_hosts(records: Iterable[Issued], now: float) -> list[str]:
    """The hosts of controllers, from their valid certificates; those of the newest certificate first."""
    found = [one for one in records if one.role is PeerRole.CONTROLLER and one.counts(now)]
    newest_first = sorted(found, key=lambda one: one.made, reverse=True)
    return list(dict.fromkeys(host for one in newest_first for host in one.hosts))


def _read(file: Path) -> Kept:
    try:
        return msgspec.json.decode(read_file(file), type=Kept)
    except msgspec.MsgspecError as error:
        raise PkiError(f"{file} is no token ({error}): remove it") from None
