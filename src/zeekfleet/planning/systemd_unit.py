"""The systemd unit of a daemon: what it may see and do, and how it starts and stops. Pure.

A daemon gets the rights that it needs, and no others. It needs these: nodes have to be reached by network, those that
read live traffic need packet sockets, and an agent makes control groups below its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec

from zeekfleet.errors import UnitFileError
from zeekfleet.planning.unit_text import command, escaped, section

ServiceName = Literal["agent", "controller", "up"]

OLDEST = 239
"""The oldest systemd that units are made for: it knows every key but those of :data:`SINCE`."""

SINCE = {
    "RestrictSUIDSGID": 242,
    "ProtectHostname": 242,
    "OOMPolicy": 243,
    "ProtectKernelLogs": 244,
    "ProtectClock": 245,
    "ProtectProc": 247,
    "DelegateSubgroup": 254,
    "RestartSteps": 254,
    "RestartMaxDelaySec": 254,
}
"""Keys that are younger than :data:`OLDEST`, and the release of systemd that first knew each."""

ROOT = "root"

CAPTURE = ("CAP_NET_ADMIN", "CAP_NET_RAW")
"""The capabilities that a node needs to read live traffic."""

LOW_PORTS = "CAP_NET_BIND_SERVICE"

_DESCRIPTIONS: dict[ServiceName, str] = {
    "agent": "zeekfleet agent: the Zeek nodes of this host",
    "controller": "zeekfleet controller",
    "up": "zeekfleet: a Zeek cluster on this host",
}


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """A daemon that systemd is to run.

    Attributes:
        name: which one.
        command: its command line; the program is an absolute path.
        user: the user that it runs as.
        captures: whether its nodes read live traffic.
        keeps_nodes: whether its nodes run on when it stops.
        stop_timeout: seconds that it may take to stop.
        has_low_ports: whether it listens on ports below 1024.
        reads_homes: whether files that it needs are below ``/home``, ``/root`` or ``/run/user``.
        state: its state directory below ``/var/lib``, such as ``zeekfleet``; empty if it is elsewhere.
        logs: its directory for archived logs below ``/var/log``; empty if it has none, or it is elsewhere.
        writable: absolute paths of other directories that it writes to.
        search_path: the PATH on which it looks for programs; empty for the one that systemd sets.
    """

    name: ServiceName
    command: tuple[str, ...]
    user: str
    captures: bool = False
    keeps_nodes: bool = False
    stop_timeout: int = 60
    has_low_ports: bool = False
    reads_homes: bool = False
    state: str = ""
    logs: str = ""
    writable: tuple[str, ...] = ()
    search_path: tuple[str, ...] = ()

    @property
    def unit(self) -> str:
        """The unit's name."""
        return f"zeekfleet-{self.name}.service"

    @property
    def has_nodes(self) -> bool:
        """Whether nodes run below it."""
        return self.name != "controller"


def unit_file(service: Service, version: int) -> str:
    """The text of the service's unit.

    Args:
        service: the service.
        version: the version of systemd that will read it; keys that this version does not know are left out.

    Raises:
        UnitFileError: the version is too old, or a value cannot stand in a unit file.
    """
    if version < OLDEST:
        raise UnitFileError(f"systemd {version} is too old: units are made for {OLDEST} and later")

    def known(lines: Iterable[str]) -> list[str]:
        return [line for line in lines if SINCE.get(line.partition("=")[0], OLDEST) <= version]

    head = f"# Made by 'zeekfleet systemd'. Put changes of your own into a drop-in: systemctl edit {service.unit}\n"
    return "\n".join(
        (
            head,
            section("Unit", _unit(service)),
            section(
                "Service",
                *(known(part) for part in (_running(service), _stopping(service), _owning(service))),
                *(known(part) for part in (_privileges(service), _seeing(service), _calling(service))),
            ),
            section("Install", ["WantedBy=multi-user.target"]),
        )
    )


def _unit(service: Service) -> Iterator[str]:
    yield f"Description={_DESCRIPTIONS[service.name]}"
    yield "Wants=network-online.target"
    yield "After=network-online.target"
    yield "# However often it fails, it is started again."
    yield "StartLimitIntervalSec=0"


def _running(service: Service) -> Iterator[str]:
    yield "Type=notify"
    yield f"ExecStart={command(service.command)}"
    if service.search_path:
        yield f"Environment={escaped('PATH=' + ':'.join(service.search_path))}"
    yield "Restart=on-failure"
    yield "RestartPreventExitStatus=2"
    yield "RestartSec=5s"
    yield "RestartSteps=5"
    yield "RestartMaxDelaySec=60s"


def _stopping(service: Service) -> Iterator[str]:
    if not service.has_nodes:
        return
    if service.keeps_nodes:
        yield "# Nodes run on when it stops, and the next start finds them."
        yield "KillMode=process"
    else:
        yield "# It stops its nodes in order. What is left afterwards is killed."
        yield "KillMode=mixed"
    yield f"TimeoutStopSec={service.stop_timeout}s"
    yield "# If the kernel kills a node for want of memory, the others run on."
    yield "OOMPolicy=continue"
    yield "# Nodes may have control groups of their own."
    yield "Delegate=yes"
    yield "DelegateSubgroup=supervisor"


def _owning(service: Service) -> Iterator[str]:
    if service.user != ROOT:
        yield f"User={service.user}"
    yield "UMask=0077"
    if service.state:
        yield f"StateDirectory={service.state}"
        yield "StateDirectoryMode=0700"
    if service.logs:
        yield f"LogsDirectory={service.logs}"
        yield "LogsDirectoryMode=0700"
    for path in service.writable:
        yield f"ReadWritePaths={escaped(path)}"


def _privileges(service: Service) -> Iterator[str]:
    inherited = [*(CAPTURE if service.captures else ()), *((LOW_PORTS,) if service.has_low_ports else ())]
    yield "NoNewPrivileges=yes"
    yield f"CapabilityBoundingSet={' '.join(inherited)}"
    if service.user != ROOT:
        yield f"AmbientCapabilities={' '.join(inherited)}"
    yield "LockPersonality=yes"
    yield "RestrictNamespaces=yes"
    yield "RestrictRealtime=yes"
    yield "RestrictSUIDSGID=yes"


def _seeing(service: Service) -> Iterator[str]:
    yield "ProtectSystem=strict"
    yield f"ProtectHome={'read-only' if service.reads_homes else 'yes'}"
    if service.keeps_nodes and service.has_nodes:
        # systemd removes the directory of PrivateTmp= when the service stops, also from under the nodes that run on.
        yield "TemporaryFileSystem=/tmp:mode=1777 /var/tmp:mode=1777"
    else:
        yield "PrivateTmp=yes"
    yield "PrivateDevices=yes"
    yield "PrivateMounts=yes"
    yield "ProtectClock=yes"
    if not service.has_nodes:
        yield "ProtectControlGroups=yes"
    yield "ProtectHostname=yes"
    yield "ProtectKernelLogs=yes"
    yield "ProtectKernelModules=yes"
    yield "ProtectKernelTunables=yes"
    if service.user != ROOT:
        yield "ProtectProc=invisible"
        yield "RemoveIPC=yes"
    yield "KeyringMode=private"


def _calling(service: Service) -> Iterator[str]:
    families = ["AF_INET", "AF_INET6", "AF_NETLINK", "AF_UNIX", *(["AF_PACKET"] if service.captures else [])]
    yield f"RestrictAddressFamilies={' '.join(sorted(families))}"
    yield "MemoryDenyWriteExecute=yes"
    yield "SystemCallArchitectures=native"
    yield "SystemCallErrorNumber=EPERM"
    yield "SystemCallFilter=@system-service"
    denied = ["@aio", "@keyring", "@privileged"]
    if not service.has_nodes:
        denied.append("@resources")
    yield f"SystemCallFilter=~{' '.join(denied)}"
