"""Every setting of the daemons: option before environment before settings file before default, and told which."""

from __future__ import annotations

import argparse
import json
import re
import typing
from pathlib import Path
from typing import Any, Literal

import pytest

from zeekfleet.cli.daemon_options import add_options, resolve_options
from zeekfleet.errors import SettingsError
from zeekfleet.resolution import Declaration, declarations, resolve
from zeekfleet.settings import Settings

ALL = Settings.__struct_fields__
TREE = ("common", "controller", "agent", "supervisor")
DECLARATIONS = list(declarations(ALL))


def samples(setting: Declaration) -> list[Any]:
    """Three values of the setting's type that differ from its default."""
    kind = setting.type
    default = getattr(getattr(Settings(), setting.section), setting.name)
    if kind is bool:
        return [not default, default, not default]
    if typing.get_origin(kind) is Literal:
        others = [value for value in typing.get_args(kind) if value != default]
        return [others[0], others[-1], others[0]]
    if kind is int:
        least = int(setting.setting.within.least)
        return [max(least, default or 0) + more for more in (1, 2, 3)]
    if kind is float:
        return [1.25, 2.5, 3.75]
    if setting.setting.names == "path":
        return ["/one", "/two", "/three"]
    return ["one", "two", "three"]


def toml(value: Any) -> str:
    return json.dumps(value)


def value_of(settings: Settings, setting: Declaration) -> Any:
    return getattr(getattr(settings, setting.section), setting.name)


def command_line(sections: tuple[str, ...], *arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_options(parser, sections)
    return parser.parse_args(arguments)


@pytest.mark.parametrize("setting", DECLARATIONS, ids=lambda setting: setting.key)
def test_precedence_and_origin(setting: Declaration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    by_file, by_variable, by_option = samples(setting)
    file = tmp_path / "settings.toml"
    file.write_text(f"[{setting.section}]\n{setting.name} = {toml(by_file)}\n")
    sections = (setting.section,) if setting.section == "common" else ("common", setting.section)
    variable = setting.variable
    for other in DECLARATIONS:
        monkeypatch.delenv(other.variable, raising=False)

    def resolved(*arguments: str) -> tuple[Any, str]:
        found = resolve_options(command_line(sections, *arguments))
        return value_of(found.settings, setting), found.sources[setting.key].text

    others = {"archive.interval": ("--archive-command", "x"), "supervisor.node_group": ("--node-user", "x")}
    beside = others.get(setting.key, ())  # without, it is refused
    assert resolved()[1] == "default"
    assert resolved("--settings", str(file)) == (by_file, f"{setting.key} in {file}")
    monkeypatch.setenv(variable, str(by_variable))
    assert resolved("--settings", str(file)) == (by_variable, variable)
    for option in setting.options(sections):
        origin = setting.options(sections)[0]
        words = (option,) if setting.setting.flag else (option, str(by_option))
        assert resolved("--settings", str(file), *beside, *words) == (by_option, origin)


PATHS = [setting for setting in DECLARATIONS if setting.setting.names == "path"]


def test_paths_are_recognized() -> None:
    texts = [setting for setting in DECLARATIONS if setting.type is str]
    assert [setting for setting in texts if re.search(r"\b(directory|PEM|file)\b", setting.setting.help)] == PATHS


@pytest.mark.parametrize("setting", PATHS, ids=lambda setting: setting.key)
def test_relative_paths_are_relative_to_where_they_were_given(
    setting: Declaration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "s.toml").write_text(f'\ufeff[{setting.section}]\n{setting.name} = "by/file"\n')
    monkeypatch.chdir(tmp_path)
    by_option = resolve((setting.section,), {setting.key: "by/option"}, {}).settings
    assert value_of(by_option, setting) == f"{tmp_path}/by/option"
    by_variable = resolve((setting.section,), {}, {setting.variable: "by/variable"}).settings
    assert value_of(by_variable, setting) == f"{tmp_path}/by/variable"
    by_file = resolve((setting.section,), {}, {}, Path("etc/s.toml")).settings
    assert value_of(by_file, setting) == f"{tmp_path}/etc/by/file"
    at_home = resolve((setting.section,), {setting.key: "~/x"}, {}).settings
    assert value_of(at_home, setting) == str(Path.home() / "x")


@pytest.mark.parametrize(
    ("command", "meant"),
    [
        ("zeek-archiver", "zeek-archiver"),
        ("/opt/archiver -v", "/opt/archiver -v"),
        ("./archiver -v ./x", "{base}/archiver -v ./x"),
        ("'bin/my archiver' {queue}", "'{base}/bin/my archiver' '{queue}'"),
        ("", ""),
    ],
)
def test_a_relative_command_is_relative_to_where_it_was_given(
    command: str, meant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "s.toml").write_text(f"[archive]\ncommand = {toml(command)}\n")
    monkeypatch.chdir(tmp_path.parent)
    by_file = resolve(("archive",), {}, {}, tmp_path / "s.toml").settings.archive.command
    assert by_file == meant.replace("{base}", str(tmp_path))
    by_option = resolve(("archive",), {"archive.command": command}, {}).settings.archive.command
    assert by_option == meant.replace("{base}", str(tmp_path.parent))


@pytest.mark.parametrize("setting", [s for s in DECLARATIONS if s.setting.names == "host"], ids=lambda s: s.key)
def test_an_unusual_numeric_address_is_refused(setting: Declaration) -> None:
    for odd in ("127.0.0.010", "127.1", "0x7f000001"):
        with pytest.raises(SettingsError, match=f"four numbers from 0 to 255 without leading zeros, which '{odd}'"):
            resolve((setting.section,), {setting.key: odd}, {})
    for good in ("127.0.0.1", "::1", "0.0.0.0", "sensor-1", "a.example.org"):
        assert value_of(resolve((setting.section,), {setting.key: good}, {}).settings, setting) == good
    assert value_of(resolve((setting.section,), {setting.key: "[fd99::1]"}, {}).settings, setting) == "fd99::1"


@pytest.mark.parametrize("setting", [s for s in DECLARATIONS if s.setting.names == "host"], ids=lambda s: s.key)
def test_an_empty_address_is_not_every_address(setting: Declaration, tmp_path: Path) -> None:
    for empty in ("", " ", "[]"):
        with pytest.raises(SettingsError, match="expected an address to listen on"):
            resolve((setting.section,), {setting.key: empty}, {})
    file = tmp_path / "s.toml"
    file.write_text(f'[{setting.section}]\n{setting.name} = ""\n')
    with pytest.raises(SettingsError, match="expected an address to listen on"):
        resolve((setting.section,), {}, {}, file)


@pytest.mark.parametrize("name", ["state_dir", "spool_dir"])
def test_an_empty_directory_is_not_the_current_one(name: str) -> None:
    with pytest.raises(SettingsError, match=f"expected a directory for {name}"):
        resolve(("common",), {f"common.{name}": ""}, {})


def test_an_unknown_key_is_reported_with_the_most_similar_one(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text("[agent]\nlisten_addr = '::1'\n")
    with pytest.raises(SettingsError, match=r"unknown key 'agent.listen_addr' \(did you mean 'listen'\?\)"):
        resolve(("agent",), {}, {}, tmp_path / "s.toml")


@pytest.mark.parametrize("setting", DECLARATIONS, ids=lambda setting: setting.key)
def test_a_wrong_value_names_where_it_was_given(setting: Declaration, tmp_path: Path) -> None:
    wrong = "a\0b" if setting.type is str else "wrong"
    sections = (setting.section,)
    with pytest.raises(SettingsError) as caught:
        resolve(sections, {setting.key: wrong}, {})
    assert caught.value.key == setting.options(sections)[0]
    with pytest.raises(SettingsError) as caught:
        resolve(sections, {}, {setting.variable: wrong})
    assert caught.value.key == setting.variable
    file = tmp_path / "settings.toml"
    file.write_text(f"[{setting.section}]\n{setting.name} = [1]\n")
    with pytest.raises(SettingsError) as caught:
        resolve(sections, {}, {}, file)
    assert setting.key in str(caught.value)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize(
    "sections", [TREE, ("common", "controller"), ("common", "agent", "supervisor"), ALL], ids="+".join
)
def test_each_option_and_variable_belongs_to_one_setting(sections: tuple[str, ...]) -> None:
    found = list(declarations(sections))
    options = [option for setting in found for option in setting.options(sections)]
    variables = [setting.variable for setting in found]
    assert len(set(options)) == len(options)
    assert len(set(variables)) == len(variables)
    assert all(setting.setting.help for setting in found)


def test_names_that_must_not_change() -> None:
    """The command line's contract."""
    by_key = {setting.key: setting for setting in DECLARATIONS}
    fixed = {
        "common.state_dir": ("--state-dir", "ZEEK_MANAGEMENT_STATE_DIR"),
        "common.spool_dir": ("--spool-dir", "ZEEK_MANAGEMENT_SPOOL_DIR"),
        "controller.name": ("--name", "ZEEK_CONTROLLER_NAME"),
        "controller.websocket_port": ("--websocket-port", "ZEEK_CONTROLLER_WEBSOCKET_PORT"),
        "controller.websocket_listen": ("--websocket-listen", "ZEEK_CONTROLLER_WEBSOCKET_ADDR"),
        "controller.port": ("--port", "ZEEK_CONTROLLER_PORT"),
        "controller.listen": ("--listen", "ZEEK_CONTROLLER_ADDR"),
        "agent.name": ("--name", "ZEEK_AGENT_NAME"),
        "agent.port": ("--port", "ZEEK_AGENT_PORT"),
        "agent.listen": ("--listen", "ZEEK_AGENT_ADDR"),
        "agent.controller": ("--controller", "ZEEKFLEET_CONTROLLER"),
        "supervisor.port": ("--supervisor-port", "ZEEKFLEET_SUPERVISOR_PORT"),
        "supervisor.engine": ("--engine", "ZEEKFLEET_ENGINE"),
    }
    for key, (option, variable) in fixed.items():
        assert (by_key[key].options(by_key[key].key.split(".")[:1])[0], by_key[key].variable) == (option, variable)
    defaults = Settings()
    assert (defaults.controller.websocket_port, defaults.controller.port) == (2149, 2150)
    assert (defaults.agent.port, defaults.supervisor.port) == (2151, None)
    assert {defaults.controller.listen, defaults.controller.websocket_listen, defaults.agent.listen} == {"127.0.0.1"}
    assert defaults.agent.controller == "127.0.0.1:2150"


@pytest.mark.parametrize(
    ("text", "value"), [("yes", True), ("TRUE", True), ("on", True), ("1", True), ("no", False), ("0", False)]
)
def test_booleans_as_text(text: str, value: bool) -> None:
    resolved = resolve(("common", "supervisor"), {"supervisor.bare_mode": text}, {})
    assert resolved.settings.supervisor.bare_mode is value


@pytest.mark.parametrize("key", ["controller.port", "agent.port"])
@pytest.mark.parametrize("text", ["-1", "65536", "1.5", "2150/tcp", "nan"])
def test_numbers_out_of_range(key: str, text: str) -> None:
    with pytest.raises(SettingsError, match=text.replace(".", r"\.")):
        resolve(("common", "controller", "agent"), {key: text}, {})


@pytest.mark.parametrize("text", ["nan", "inf", "0", "-1", "1e9"])
def test_seconds_are_finite_and_positive(text: str) -> None:
    with pytest.raises(SettingsError):
        resolve(("common",), {"common.connect_retry": text}, {})


def test_directories_become_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/somebody")
    found = resolve(("common",), {"common.state_dir": "here", "common.spool_dir": "~/spool"}, {}).settings.common
    assert (found.state_dir, found.spool_dir) == (str(tmp_path / "here"), "/home/somebody/spool")


def test_an_empty_variable_counts_as_unset() -> None:
    assert resolve(("common", "agent"), {}, {"ZEEK_AGENT_PORT": ""}).sources["agent.port"].text == "default"


def test_an_unknown_choice_is_refused_with_the_choices() -> None:
    with pytest.raises(SettingsError, match=r"^--engine: 'brew' is not one of auto, zeek, sim$"):
        resolve(("supervisor",), {"supervisor.engine": "brew"}, {})


def test_a_service_has_its_directories_from_systemd(monkeypatch: pytest.MonkeyPatch) -> None:
    """State and spool are in one of them: systemd mounts each by itself, and rotated logs have to be moved."""
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/zf:/var/lib/other")
    monkeypatch.setenv("LOGS_DIRECTORY", "/var/log/zf")
    settings = resolve(("common", "archive"), {}).settings
    assert (settings.common.state_dir, settings.common.spool_dir) == ("/var/lib/zf", "/var/lib/zf/spool")
    assert settings.archive.directory == "/var/log/zf"
    given = {"common.state_dir": "/state", "common.spool_dir": "/spool", "archive.directory": "/logs"}
    settings = resolve(("common", "archive"), given).settings
    assert (settings.common.state_dir, settings.common.spool_dir) == ("/state", "/spool")
    assert settings.archive.directory == "/logs"


def test_a_number_that_may_be_left_out_can_be_none(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("[supervisor]\nport = 'none'\n")
    sections = ("common", "supervisor")
    assert resolve(sections, {}, {}, file).settings.supervisor.port is None
    assert resolve(sections, {"supervisor.port": "0"}, {}, file).settings.supervisor.port == 0
    by_variable = {"ZEEKFLEET_SUPERVISOR_PORT": "9999"}
    assert resolve(sections, {"supervisor.port": "none"}, by_variable).settings.supervisor.port is None
    with pytest.raises(SettingsError, match="expected a whole number, a port number from 0 to 65535, or none"):
        resolve(sections, {"supervisor.port": "no"}, {})
