"""The client's own settings: zeek-client's names, defaults, sources and precedence.

From weak to strong: defaults, the configuration file (``-c``, else the variable
``ZEEK_CLIENT_CONFIG_FILE``), assignments ``SECTION.KEY=VALUE`` in the variable
``ZEEK_CLIENT_CONFIG_SETTINGS``, the same by ``--set``, then ``--controller`` and ``-v``.
A percent sign that ConfigParser would refuse stands for itself.
"""

from __future__ import annotations

import configparser
import io
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from zeekfleet.client.tls import TlsSettings
from zeekfleet.errors import SettingsError
from zeekfleet.model.addresses import numeric_host_problem
from zeekfleet.model.defaults import CLIENT_PORT, LOOPBACK
from zeekfleet.planning.ini_values import interpolate

T = TypeVar("T")

DEFAULT_FILE = "/etc/zeek-client.cfg"
FILE_VARIABLE = "ZEEK_CLIENT_CONFIG_FILE"
ASSIGNMENTS_VARIABLE = "ZEEK_CLIENT_CONFIG_SETTINGS"

DEFAULTS: dict[str, dict[str, str]] = {
    "client": {
        "request_timeout_secs": "20",  # longer than the controller's own, so that its answer is heard
        "peering_attempts": "10",
        "peering_retry_delay_secs": "1.0",
        "rich_logging_format": "False",
        "pretty_json": "True",
        "verbosity": "0",
    },
    "controller": {"host": LOOPBACK, "port": str(CLIENT_PORT)},
    "ssl": {"enable": "False", "certificate": "", "keyfile": "", "cafile": "", "capath": "", "passphrase": ""},
}
SECRETS = frozenset({("ssl", "passphrase")})
_IGNORED = frozenset({("ssl", "disable")})
_TRUTHS = configparser.ConfigParser.BOOLEAN_STATES
_LONGEST_WAIT = 86400.0


class ClientSettings:
    """All settings, each with its origin. Values are checked when they are read.

    Attributes:
        warnings: what was ignored, one sentence each.
    """

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self._file = ""
        self._parser = configparser.RawConfigParser()
        self._parser.read_dict(DEFAULTS)
        self._origins: dict[tuple[str, str], str] = {}

    @classmethod
    def load(
        cls,
        environment: Mapping[str, str],
        *,
        file: str | None = None,
        assignments: Sequence[str] = (),
        controller: str | None = None,
        verbosity: int = 0,
    ) -> ClientSettings:
        """Read all sources.

        Args:
            environment: the process's variables.
            file: the configuration file given by option; it is no error if it is missing.
            assignments: ``SECTION.KEY=VALUE``, from options.
            controller: ``HOST:PORT``, from an option; either may be missing.
            verbosity: how often ``-v`` was given.

        Raises:
            SettingsError: the file or variable cannot be read, or ``controller`` is malformed.
        """
        settings = cls()
        settings._read_file(file or environment.get(FILE_VARIABLE) or DEFAULT_FILE, named=file is not None)
        try:
            from_environment = shlex.split(environment.get(ASSIGNMENTS_VARIABLE, ""))
        except ValueError as error:
            raise SettingsError(ASSIGNMENTS_VARIABLE, f"expected SECTION.KEY=VALUE words: {error}") from None
        for assignment in from_environment:
            settings._assign(assignment, ASSIGNMENTS_VARIABLE)
        for assignment in assignments:
            settings._assign(assignment, "--set")
        if controller:
            settings._set_controller(controller)
        if verbosity:
            settings._set("client", "verbosity", str(verbosity), "--verbose")
        return settings

    def _read_file(self, path: str, *, named: bool) -> None:
        parser = configparser.RawConfigParser()
        try:
            parser.read_string(Path(path).read_text(encoding="utf-8-sig"), path)
        except FileNotFoundError:
            if named:
                self.warnings.append(f"configuration file {path} does not exist, ignored")
            return
        except OSError as error:
            raise SettingsError(path, f"cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise SettingsError(path, "is not UTF-8 text") from None
        except configparser.Error as error:
            raise SettingsError(path, " ".join(error.message.split())) from None
        self._file = path
        for section in parser.sections():
            for key, value in parser.items(section):
                self._set(section, key, value, path)

    def _assign(self, assignment: str, origin: str) -> None:
        name, equals, value = assignment.partition("=")
        section, dot, key = name.partition(".")
        if not (equals and dot and section != configparser.DEFAULTSECT):
            self.warnings.append(f"{origin}: '{assignment}' is not SECTION.KEY=VALUE, ignored")
            return
        self._set(section, key, value, origin)

    def _set(self, section: str, key: str, value: str, origin: str) -> None:
        key = key.lower()
        if (section, key) in _IGNORED:
            self.warnings.append(f"{origin}: {section}.{key} is deprecated and ignored, see ssl.enable")
        elif key not in DEFAULTS.get(section, {}):
            self.warnings.append(f"{origin}: unknown setting {section}.{key}")
        if not self._parser.has_section(section):
            self._parser.add_section(section)
        self._parser.set(section, key, value)
        self._origins[section, key] = origin

    def _set_controller(self, text: str) -> None:
        host, port = split_controller(text)
        if host:
            self._set("controller", "host", host, "--controller")
        if port:
            self._set("controller", "port", port, "--controller")

    def origin(self, section: str, key: str) -> str:
        """The origin of the value: ``default``, a file's path, or the name of a variable or an option."""
        return self._origins.get((section, key), "default")

    def items(self) -> dict[str, dict[str, str]]:
        """All values as text by section and key; secrets are masked."""
        return {
            section: {
                key: "***" if value and (section, key) in SECRETS else value
                for key, value in self._parser.items(section)
            }
            for section in self._parser.sections()
        }

    def as_ini(self) -> str:
        """What ``show-settings`` prints: the same as zeek-client, with secrets masked."""
        shown = configparser.RawConfigParser()
        shown.read_dict(self.items())
        text = io.StringIO()
        shown.write(text)
        return text.getvalue()

    @property
    def host(self) -> str:
        """The controller's address or name; an IPv6 address may stand in brackets."""
        host = self._text("controller", "host")
        if problem := numeric_host_problem(host):
            raise SettingsError("controller.host", f"expected {problem} (from {self.origin('controller', 'host')})")
        return host

    @property
    def port(self) -> int:
        """The controller's port."""
        return self._read("controller", "port", _whole(1, 65535), "a port number from 1 to 65535")

    @property
    def request_timeout(self) -> float:
        """How long to wait for a response, in seconds."""
        return self._read("client", "request_timeout_secs", _seconds, "a positive number of seconds, at most a day")

    @property
    def attempts(self) -> int:
        """How often to try to connect."""
        return self._read("client", "peering_attempts", _whole(0, 10**6), "a number of attempts")

    @property
    def retry_delay(self) -> float:
        """How long to wait for a connection, and between attempts, in seconds."""
        return self._read("client", "peering_retry_delay_secs", _seconds, "a positive number of seconds, at most a day")

    @property
    def waits_as_told(self) -> bool:
        """Whether a setting says how often or how long to try to connect."""
        keys = ("peering_attempts", "peering_retry_delay_secs")
        return any(self.origin("client", key) != "default" for key in keys)

    @property
    def timestamps(self) -> bool:
        """Whether messages on stderr begin with the time."""
        return self._truth("client", "rich_logging_format")

    @property
    def pretty_json(self) -> bool:
        """Whether JSON is indented."""
        return self._truth("client", "pretty_json")

    @property
    def verbosity(self) -> int:
        """0 and 1: errors and warnings; 2: also steps; 3: also details; 4: also the wire."""
        return self._read("client", "verbosity", _whole(-(2**31), 2**31), "a whole number")

    @property
    def tls(self) -> TlsSettings | None:
        """How to secure the connection, None for plain text."""
        if not self._truth("ssl", "enable"):
            return None
        paths = {key: self._path("ssl", key) for key in ("certificate", "keyfile", "cafile", "capath")}
        return TlsSettings(**paths, passphrase=self._text("ssl", "passphrase"))

    def _path(self, section: str, key: str) -> str:
        """A path. If it is from the configuration file, it is relative to that file, if it exists there.

        Otherwise it is relative to the current directory, as for zeek-client.
        """
        path = self._text(section, key)
        if path and self.origin(section, key) == self._file:
            beside = Path(self._file).absolute().parent / path
            if beside.exists() or not Path(path).exists():
                return str(beside)
        return path

    def _text(self, section: str, key: str) -> str:
        try:
            return interpolate(self._parser.get(section, key), dict(self._parser.items(section)))
        except ValueError as error:
            raise SettingsError(f"{section}.{key}", f"expected {error}") from None

    def _truth(self, section: str, key: str) -> bool:
        return self._read(section, key, lambda text: _TRUTHS[text.lower()], "yes or no")

    def _read(self, section: str, key: str, read: Callable[[str], T], expected: str) -> T:
        text = self._text(section, key)
        try:
            return read(text)
        except (ValueError, KeyError):
            origin = self.origin(section, key)
            raise SettingsError(f"{section}.{key}", f"'{text}' (from {origin}) is wrong, expected {expected}") from None


def split_controller(text: str) -> tuple[str, str]:
    """Host and port of ``HOST:PORT``, ``HOST``, ``:PORT`` or ``[IPV6]:PORT``; what is missing is ``""``.

    Raises:
        SettingsError: an IPv6 address does not stand in brackets.
    """
    host, colon, port = text.rpartition(":")
    if not colon:
        return text, ""
    if ":" in host:
        if not host.startswith("["):
            raise SettingsError("--controller", f"'{text}' is wrong, expected an IPv6 address as [ADDRESS]:PORT")
        if port.endswith("]"):
            return text, ""
    return host, port


def _whole(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        number = int(text)
        if not least <= number <= most:
            raise ValueError(text)
        return number

    return read


def _seconds(text: str) -> float:
    number = float(text)
    if not 0 < number <= _LONGEST_WAIT:  # also refuses NaN
        raise ValueError(text)
    return number
