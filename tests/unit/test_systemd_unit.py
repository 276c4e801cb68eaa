"""The text of systemd units: what daemons may do, by what they need, and only keys that a systemd knows."""

from __future__ import annotations

import re

import msgspec
import pytest

from zeekfleet.errors import UnitFileError
from zeekfleet.planning.systemd_unit import OLDEST, SINCE, Service, unit_file
from zeekfleet.planning.unit_text import escaped

NEWEST = 300
AGENT = Service(name="agent", command=("/opt/zf/bin/zeekfleet", "agent"), user="zeekfleet", captures=True)
CONTROLLER = Service(name="controller", command=("/opt/zf/bin/zeekfleet", "controller"), user="zeekfleet")


def keys(service: Service, version: int = NEWEST) -> dict[str, list[str]]:
    """The keys of a unit, and the values of each."""
    found: dict[str, list[str]] = {}
    for line in unit_file(service, version).splitlines():
        if line and not line.startswith(("#", "[")):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def changed(service: Service, **changes: object) -> Service:
    return msgspec.structs.replace(service, **changes)


# --- values


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("/etc/zeekfleet/agent.toml", "/etc/zeekfleet/agent.toml"),
        ("/a b", '"/a b"'),
        ("/100%", "/100%%"),
        ("%h", "%%h"),
        ('/"a"', '"/\\"a\\""'),
        ("/it's", '"/it\'s"'),
        ("/a\\nb", "/a\\\\nb"),
        (";", '";"'),
        ("#a", '"#a"'),
        ("", '""'),
        ("/süd", '"/süd"'),
        ("$HOME", "$HOME"),
    ],
)
def test_a_value_means_exactly_the_text(text: str, word: str) -> None:
    assert escaped(text) == word


def test_no_variable_is_put_into_an_argument() -> None:
    assert escaped("${HOME}/$USER", variables=True) == '"$${HOME}/$$USER"'


@pytest.mark.parametrize("text", ["/a\nExecStartPre=/bin/evil", "/a\rb", "/a\tb", "\0", "/a\x1b[31m", "/a\x85b"])
def test_a_control_character_is_refused(text: str) -> None:
    with pytest.raises(UnitFileError, match="cannot stand in a unit file: it has a control character"):
        escaped(text)


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(UnitFileError, match="is not UTF-8"):
        escaped("/a\udcff")


@pytest.mark.parametrize(("path", "named"), [('/a"b', '"'), ("/it's", "'"), ("/a\\b", "\\")])
def test_a_program_that_systemd_does_not_run_is_refused(path: str, named: str) -> None:
    with pytest.raises(UnitFileError) as refused:
        unit_file(changed(AGENT, command=(path, "agent")), NEWEST)
    assert str(refused.value) == f"{path} cannot be run by systemd: its path has {named}"


def test_values_in_a_unit_are_escaped() -> None:
    service = changed(
        AGENT,
        command=("/opt/100% $HOME/zeekfleet", "agent", "--settings", "/etc/$HOME/100%.toml"),
        writable=("/data 1",),
        search_path=("/opt/zeek 9/bin", "/usr/bin"),
    )
    made = keys(service)
    assert made["ExecStart"] == ['"/opt/100%% $HOME/zeekfleet" agent --settings /etc/$$HOME/100%%.toml']
    assert made["ReadWritePaths"] == ['"/data 1"']
    assert made["Environment"] == ['"PATH=/opt/zeek 9/bin:/usr/bin"']


# --- releases of systemd


def test_only_keys_that_a_systemd_knows() -> None:
    for version in (OLDEST, *SINCE.values(), NEWEST):
        for service in (AGENT, CONTROLLER):
            assert {key for key in keys(service, version) if SINCE.get(key, OLDEST) > version} == set()
    everything = keys(AGENT) | keys(CONTROLLER)
    assert SINCE.keys() <= everything.keys()


def test_a_new_systemd_gets_the_new_keys() -> None:
    assert "DelegateSubgroup" not in keys(AGENT, 253)
    assert keys(AGENT, 254)["DelegateSubgroup"] == ["supervisor"]


def test_a_systemd_that_is_too_old_is_refused() -> None:
    with pytest.raises(UnitFileError, match="systemd 238 is too old: units are made for 239 and later"):
        unit_file(AGENT, 238)


# --- what a daemon needs


def test_the_sections_are_complete() -> None:
    assert re.findall(r"^\[(\w+)\]$", unit_file(AGENT, NEWEST), re.MULTILINE) == ["Unit", "Service", "Install"]
    assert keys(AGENT)["WantedBy"] == ["multi-user.target"]
    assert keys(AGENT)["Type"] == ["notify"]


def test_only_who_captures_may_capture() -> None:
    for service, capabilities in ((AGENT, "CAP_NET_ADMIN CAP_NET_RAW"), (changed(AGENT, captures=False), "")):
        made = keys(service)
        assert made["CapabilityBoundingSet"] == made["AmbientCapabilities"] == [capabilities]
        assert ("AF_PACKET" in made["RestrictAddressFamilies"][0]) is bool(capabilities)
    assert keys(CONTROLLER)["CapabilityBoundingSet"] == [""]


def test_low_ports_need_a_capability() -> None:
    assert keys(changed(CONTROLLER, has_low_ports=True))["AmbientCapabilities"] == ["CAP_NET_BIND_SERVICE"]


def test_nodes_stop_with_their_daemon() -> None:
    made = keys(changed(AGENT, stop_timeout=85))
    assert made["KillMode"] == ["mixed"]
    assert made["TimeoutStopSec"] == ["85s"]
    assert made["PrivateTmp"] == ["yes"]


def test_nodes_that_outlive_their_daemon_keep_their_temporary_directory() -> None:
    """systemd removes that of PrivateTmp= when the service stops."""
    made = keys(changed(AGENT, keeps_nodes=True))
    assert made["KillMode"] == ["process"]
    assert "PrivateTmp" not in made
    assert made["TemporaryFileSystem"] == ["/tmp:mode=1777 /var/tmp:mode=1777"]


def test_only_who_has_nodes_makes_control_groups() -> None:
    assert keys(AGENT)["Delegate"] == ["yes"]
    assert "ProtectControlGroups" not in keys(AGENT)
    assert "Delegate" not in keys(CONTROLLER)
    assert keys(CONTROLLER)["ProtectControlGroups"] == ["yes"]


def test_directories_that_systemd_makes_and_others() -> None:
    made = keys(changed(AGENT, state="zeekfleet", logs="zeek", writable=("/data",)))
    assert (made["StateDirectory"], made["LogsDirectory"], made["ReadWritePaths"]) == (
        ["zeekfleet"],
        ["zeek"],
        ["/data"],
    )
    assert made["StateDirectoryMode"] == made["LogsDirectoryMode"] == ["0700"]
    assert keys(AGENT).keys().isdisjoint({"StateDirectory", "LogsDirectory", "ReadWritePaths"})


def test_root_needs_no_user_and_is_confined_all_the_same() -> None:
    made = keys(changed(AGENT, user="root"))
    assert "User" not in made
    assert made["CapabilityBoundingSet"] == ["CAP_NET_ADMIN CAP_NET_RAW"]
    assert made["ProtectSystem"] == ["strict"]


def test_home_directories_are_seen_only_if_needed() -> None:
    assert keys(AGENT)["ProtectHome"] == ["yes"]
    assert keys(changed(AGENT, reads_homes=True))["ProtectHome"] == ["read-only"]
