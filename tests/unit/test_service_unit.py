"""What a service needs, by its settings file and this host; the unit in its place; what else is to be done."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from zeekfleet.cli.daemon_options import SECTIONS
from zeekfleet.daemon import service_setup, service_unit
from zeekfleet.daemon.service_unit import Needs
from zeekfleet.errors import SettingsError, UnitFileError
from zeekfleet.planning.systemd_unit import Service, ServiceName

SIM = "[supervisor]\nengine = 'sim'\n"


@pytest.fixture(autouse=True)
def _anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests have their files in /tmp, and this zeekfleet may be in a home directory."""
    monkeypatch.setattr(service_unit, "TEMPORARY", ())
    monkeypatch.setattr(service_unit, "HOMES", ())


class Host:
    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def needs(
        self, toml: str = "", name: ServiceName = "agent", user: str = "zeekfleet", captures: bool = True
    ) -> Needs:
        file = self.directory / "settings.toml"
        file.write_text(toml)
        return service_unit.needs_of(name, SECTIONS[name], file=file, config=None, user=user, captures=captures)

    def service(self, toml: str = "", name: ServiceName = "agent") -> Service:
        return self.needs(toml, name).service


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    """A host with a zeek in a directory of its own."""
    (tmp_path / "zeek" / "bin").mkdir(parents=True)
    zeek = tmp_path / "zeek" / "bin" / "zeek"
    zeek.write_text("#!/bin/sh\n")
    zeek.chmod(0o755)
    monkeypatch.setenv("PATH", f"{zeek.parent}:/usr/bin")
    return Host(tmp_path)


# --- from the settings


def test_settings_travel_in_their_file(host: Host) -> None:
    command = host.service("[agent]\nname = 'sensor-1'\n").command
    assert Path(command[0]).name == "zeekfleet"
    assert Path(command[0]).is_absolute()
    assert command[1:] == ("agent", "--settings", str(host.directory / "settings.toml"))


def test_variables_of_the_caller_do_not_count(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZEEK_MANAGEMENT_STATE_DIR", "/elsewhere")
    monkeypatch.setenv("ZEEKFLEET_ON_EXIT", "keep")
    service = host.service()
    assert service.state == "zeekfleet"
    assert not service.keeps_nodes


def test_the_configuration_is_deployed_by_its_absolute_path(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(host.directory)
    needs = service_unit.needs_of(
        "up", SECTIONS["up"], file=None, config=Path("c.ini"), user="zeekfleet", captures=True
    )
    assert needs.service.command[1:] == ("up", str(host.directory / "c.ini"))
    assert needs.public == (host.directory / "c.ini",)


@pytest.mark.parametrize(
    ("toml", "state", "logs", "writable"),
    [
        ("", "zeekfleet", "zeekfleet", ()),
        ("[common]\nstate_dir = '/var/lib/zeekfleet'\n", "zeekfleet", "zeekfleet", ()),
        ("[common]\nstate_dir = '/var/lib/zeek/one'\n", "zeek/one", "zeekfleet", ()),
        ("[common]\nstate_dir = '/data/zf'\nspool_dir = '/data/zf/spool'\n", "", "zeekfleet", ("/data/zf",)),
        ("[common]\nstate_dir = '/var/lib/my state'\nspool_dir = '/var/lib/my state/s'\n", "", "zeekfleet",
         ("/var/lib/my state",)),
        ("[archive]\ndirectory = '/var/log/zeek'\n", "zeekfleet", "zeek", ()),
        ("[archive]\ndirectory = '/logs/../data'\n", "zeekfleet", "", ("/data",)),
        ("[archive]\ndirectory = '/var/lib/zeekfleet/logs'\n", "zeekfleet", "", ()),
        ("[archive]\nenabled = false\n", "zeekfleet", "", ()),
    ],
)  # fmt: skip
def test_directories(host: Host, toml: str, state: str, logs: str, writable: tuple[str, ...]) -> None:
    service = host.service(toml)
    assert (service.state, service.logs, service.writable) == (state, logs, writable)


def test_a_controller_has_no_logs_to_keep(host: Host) -> None:
    assert host.service(name="controller").logs == ""


@pytest.mark.parametrize("common", ["spool_dir = '/var/spool/zeekfleet'", "state_dir = '/data/zf'"])
def test_a_spool_from_which_nothing_can_be_moved_is_refused(host: Host, common: str) -> None:
    with pytest.raises(SettingsError, match=r"common\.spool_dir: expected a directory below the state directory"):
        host.needs(f"[common]\n{common}\n")


@pytest.mark.parametrize(("grace", "timeout"), [("", 60), ("grace = 20\n", 110), ("grace = 0.5\n", 12)])
def test_there_is_time_for_every_group_of_nodes_to_stop(host: Host, grace: str, timeout: int) -> None:
    assert host.service(f"[supervisor]\n{grace}").stop_timeout == timeout


def test_nodes_are_kept_if_the_settings_say_so(host: Host) -> None:
    assert host.service("[supervisor]\non_exit = 'keep'\n").keeps_nodes
    assert not host.service().keeps_nodes


def test_who_reads_no_live_traffic_gets_no_capability(host: Host) -> None:
    assert host.service().captures
    assert not host.needs(captures=False).service.captures
    assert not host.service(SIM).captures
    assert not host.service(name="controller").captures


def test_low_ports_are_seen(host: Host) -> None:
    assert not host.service().has_low_ports
    assert host.service("[agent]\nport = 1023\n").has_low_ports
    assert not host.service("[agent]\nport = 0\n").has_low_ports


# --- from the host


def test_the_service_finds_the_zeek_of_its_installer(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """Services have a search path of their own."""
    assert host.service().search_path[0] == str(host.directory / "zeek" / "bin")
    assert host.service(SIM).search_path == ()
    assert host.service(name="controller").search_path == ()
    monkeypatch.setattr(service_unit, "SEARCH_PATH", (str(host.directory / "zeek" / "bin"),))
    assert host.service().search_path == ()


def test_a_zeek_that_is_missing_is_told(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    assert host.needs().warnings == ()
    monkeypatch.setenv("PATH", str(host.directory))
    assert host.needs().warnings == ("there is no zeek on PATH, and the service will find none either",)
    assert host.needs(SIM).warnings == ()
    assert host.needs(name="controller").warnings == ()


def test_what_is_in_home_directories_is_told(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_unit, "HOMES", (host.directory,))
    needs = host.needs()
    assert needs.service.reads_homes
    assert needs.warnings == (
        f"{host.directory}/zeek/bin/zeek is in a home directory: the service may read home directories for that",
    )


def test_what_a_service_does_not_see_is_refused(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_unit, "TEMPORARY", (host.directory,))
    with pytest.raises(SettingsError, match="a service does not see this, since it has a /tmp"):
        host.needs(SIM)


@pytest.mark.parametrize("place", ["HOMES", "TEMPORARY"])
def test_a_state_directory_that_a_service_cannot_keep_is_refused(
    host: Host, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_unit, place, (Path("/data"),))
    with pytest.raises(SettingsError, match=r"^/data/zf: a service cannot keep its files there"):
        host.needs("[common]\nstate_dir = '/data/zf'\nspool_dir = '/data/zf/spool'\n")


def test_nodes_of_a_service_have_its_user(host: Host) -> None:
    with pytest.raises(SettingsError, match=r"supervisor\.node_user: a service and its nodes run as one user"):
        host.needs("[supervisor]\nnode_user = 'zeek'\n")


@pytest.mark.parametrize("user", ["", "a b", "-x", "a\nUser=root", "%u", "x" * 40])
def test_what_is_no_user_is_refused(host: Host, user: str) -> None:
    with pytest.raises(SettingsError, match="--user: expected the name or the number of a user"):
        host.needs(user=user)


def test_the_release_of_systemd_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UnitFileError, match="name it with --systemd"):
        service_unit.installed_version()
    (tmp_path / "systemctl").write_text("#!/bin/sh\necho 'systemd 252 (252.38-1~deb12u1)\n+PAM'\n")
    (tmp_path / "systemctl").chmod(0o755)
    assert service_unit.installed_version() == 252


# --- the unit in its place


def test_a_unit_is_written_for_everybody_to_read(tmp_path: Path) -> None:
    mask = os.umask(0o077)
    try:
        assert service_setup.write_unit(tmp_path, "a.service", "x", force=False)
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "a.service").stat().st_mode) == 0o644
    assert [path.name for path in tmp_path.iterdir()] == ["a.service"]


def test_the_same_unit_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a.service").write_text("x")
    before = (tmp_path / "a.service").stat().st_ino
    assert not service_setup.write_unit(tmp_path, "a.service", "x", force=True)
    assert (tmp_path / "a.service").stat().st_ino == before


def test_another_unit_is_replaced_by_force_only(tmp_path: Path) -> None:
    (tmp_path / "a.service").write_text("mine")
    with pytest.raises(UnitFileError, match=r"a\.service differs from what would be written"):
        service_setup.write_unit(tmp_path, "a.service", "x", force=False)
    assert (tmp_path / "a.service").read_text() == "mine"
    assert service_setup.write_unit(tmp_path, "a.service", "x", force=True)
    assert (tmp_path / "a.service").read_text() == "x"


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    """A masked unit is a link to /dev/null."""
    (tmp_path / "elsewhere").write_text("x")
    (tmp_path / "a.service").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnitFileError, match="--force"):
        service_setup.write_unit(tmp_path, "a.service", "x", force=False)
    assert service_setup.write_unit(tmp_path, "a.service", "y", force=True)
    assert (tmp_path / "elsewhere").read_text() == "x"
    assert not (tmp_path / "a.service").is_symlink()


def test_a_unit_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(UnitFileError, match=r"missing/a\.service cannot be written: No such file or directory"):
        service_setup.write_unit(tmp_path / "missing", "a.service", "x", force=False)


# --- what else is to be done


def prepared(
    *, user: str = "root", writable: tuple[str, ...] = (), public: tuple[Path, ...] = (), private: tuple[Path, ...] = ()
) -> list[str]:
    service = Service(name="agent", command=("/zeekfleet",), user=user, writable=writable)
    return service_setup.preparations(Needs(service, public, private, ()))


def test_nothing_is_to_be_done_where_all_is_there(tmp_path: Path) -> None:
    (tmp_path / "file").touch(mode=0o600)
    assert prepared(writable=(str(tmp_path),), public=(tmp_path / "file",), private=(tmp_path / "file",)) == []


def test_a_user_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    made = "useradd --system {} --home-dir /var/lib/zeekfleet --no-create-home no-such-user-here"
    assert prepared(user="no-such-user-here") == [made.format("--user-group")]
    monkeypatch.setattr(service_setup, "gid_named", lambda _: 4711)
    assert prepared(user="no-such-user-here") == [made.format("--gid no-such-user-here")]


def test_a_directory_is_made(tmp_path: Path) -> None:
    assert prepared(writable=(f"{tmp_path}/a b",)) == [f"install -d -m 0700 -o root '{tmp_path}/a b'"]


def test_files_are_made_readable(tmp_path: Path) -> None:
    settings, key = tmp_path / "settings.toml", tmp_path / "key.pem"
    settings.touch(mode=0o600)
    key.touch(mode=0o600)
    assert prepared(user="4711", public=(settings,), private=(key,)) == [
        f"chgrp 4711 {settings}",
        f"chmod g+r {settings}",
        f"chown 4711 {key}",
    ]
    settings.chmod(0o644)
    assert prepared(user="4711", public=(settings, tmp_path / "missing")) == []
