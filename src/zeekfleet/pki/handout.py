"""Writes certificates and keys to the files that their owners use."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from zeekfleet.errors import PkiError
from zeekfleet.model.names import AUTHORITY
from zeekfleet.pki.directory import read_file
from zeekfleet.pki.records import Issued
from zeekfleet.security.identity import Identity
from zeekfleet.system.exposure import directory_problem
from zeekfleet.system.files import create_private, make_private_directory, sync_directory, write_private


class Handout(msgspec.Struct, frozen=True):
    """The files of one owner, such as ``agent-sensor-1.pem`` and ``agent-sensor-1.key``, beside ``ca.pem``."""

    directory: Path
    identity: Identity

    @property
    def certificate(self) -> Path:
        """The certificate."""
        return self.directory / f"{self.identity.role}-{self.identity.name}.pem"

    @property
    def key(self) -> Path:
        """Its private key."""
        return self.directory / f"{self.identity.role}-{self.identity.name}.key"

    @property
    def authority(self) -> Path:
        """The certificate of the authority, by which peers are known."""
        return self.directory / AUTHORITY

    def prepare(self, authority: str, *, replace: bool = False) -> None:
        """Make the directory and write the authority's certificate. Call this before a certificate is issued.

        Args:
            authority: the authority's certificate, as PEM.
            replace: whether existing files may be replaced.

        Raises:
            PkiError: a file is there already, or the directory cannot be used.
        """
        try:
            make_private_directory(self.directory)
            if self.directory.is_symlink():
                raise PkiError(f"{self.directory} is a symbolic link: expected a directory")
            if problem := directory_problem(self.directory):
                raise PkiError(problem)
            for file in (self.key, self.certificate):
                if os.path.lexists(file) and not replace:
                    raise PkiError(
                        f"{file} is there already: renew the certificate with 'zeekfleet pki renew', write to another"
                        " directory with --out, or replace the key with --force"
                    )
            if not os.path.lexists(self.authority) or replace:
                write_private(self.authority, authority.encode())
            elif read_file(self.authority) != authority.encode():
                raise PkiError(f"{self.authority} is of another authority: use another directory, or --force")
        except OSError as error:
            raise _unwritten(error, self.directory) from None

    def write_key(self, pem: str, *, replace: bool = False) -> None:
        """Write the private key.

        Args:
            pem: the key.
            replace: whether an existing key may be replaced.

        Raises:
            PkiError: a key is there already, or it cannot be written.
        """
        write = write_private if replace else create_private
        try:
            write(self.key, pem.encode())
            sync_directory(self.directory)
        except FileExistsError:
            raise PkiError(f"{self.key} is there already") from None
        except OSError as error:
            raise _unwritten(error, self.key) from None

    def write_certificate(self, issued: Issued) -> None:
        """Write the certificate. An existing one is replaced.

        Raises:
            PkiError: it cannot be written.
        """
        replace_file(self.certificate, issued.certificate.encode())


def replace_file(file: Path, content: bytes) -> None:
    """Replace a file, completely or not at all; it is on disk when this returns. It keeps its owner and mode.

    Raises:
        PkiError: it cannot be written.
    """
    try:
        former = file.stat(follow_symlinks=False) if os.path.lexists(file) else None
        write_private(file, content, like=former)
        sync_directory(file.parent)
    except OSError as error:
        raise _unwritten(error, file) from None


def _unwritten(error: OSError, file: Path) -> PkiError:
    return PkiError(f"{error.filename or file} cannot be written: {error.strerror or error}")
