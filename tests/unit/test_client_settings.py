"""The client's settings: sources, precedence, checks."""

from __future__ import annotations

import configparser
import io
from pathlib import Path

import pytest
from zeekclient.config import Config

from zeekfleet.client.settings import ClientSettings, split_controller
from zeekfleet.errors import SettingsError


def test_defaults_are_zeek_clients():
    text = io.StringIO()
    Config().write(text)
    assert ClientSettings().as_ini() == text.getvalue()


def test_precedence(tmp_path: Path):
    file = tmp_path / "client.cfg"
    file.write_text(
        "[client]\nrequest_timeout_secs = 1\npeering_attempts = 1\nverbosity = 1\n[controller]\nhost = file\nport = 1\n"
    )
    environment = {
        "ZEEK_CLIENT_CONFIG_FILE": str(file),
        "ZEEK_CLIENT_CONFIG_SETTINGS": "client.peering_attempts=2 client.peering_retry_delay_secs=2 controller.port=2",
    }
    settings = ClientSettings.load(
        environment,
        assignments=["client.peering_retry_delay_secs=3", "controller.host=set"],
        controller=":4",
        verbosity=5,
    )
    assert settings.request_timeout == 1
    assert settings.attempts == 2
    assert settings.retry_delay == 3
    assert (settings.host, settings.port) == ("set", 4)
    assert settings.verbosity == 5
    assert settings.pretty_json
    origins = [settings.origin("client", key) for key in ("request_timeout_secs", "peering_attempts", "pretty_json")]
    assert origins == [str(file), "ZEEK_CLIENT_CONFIG_SETTINGS", "default"]
    assert not settings.warnings


def test_option_beats_variable_for_the_file(tmp_path: Path):
    (tmp_path / "one").write_text("[controller]\nport = 1\n")
    (tmp_path / "two").write_text("[controller]\nport = 2\n")
    environment = {"ZEEK_CLIENT_CONFIG_FILE": str(tmp_path / "one")}
    assert ClientSettings.load(environment).port == 1
    assert ClientSettings.load(environment, file=str(tmp_path / "two")).port == 2


def test_a_missing_file_is_an_error_only_if_it_was_named(tmp_path: Path):
    missing = str(tmp_path / "absent")
    assert not ClientSettings.load({"ZEEK_CLIENT_CONFIG_FILE": missing}).warnings
    assert ClientSettings.load({}, file=missing).warnings == [f"configuration file {missing} does not exist, ignored"]


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("h", "h", ""),
        ("h:1", "h", "1"),
        (":1", "", "1"),
        ("h:", "h", ""),
        ("[::1]", "[::1]", ""),
        ("[::1]:1", "[::1]", "1"),
        ("[fd00::1:2]:99", "[fd00::1:2]", "99"),
        ("", "", ""),
    ],
)
def test_controller(text: str, host: str, port: str):
    assert split_controller(text) == (host, port)
    theirs = Config()
    theirs.update_from_args(type("Args", (), {"set": [], "controller": text, "verbose": 0})())
    ours = ClientSettings.load({"ZEEK_CLIENT_CONFIG_FILE": "/absent"}, controller=text)
    assert (ours.host, str(ours.port)) == (theirs.get("controller", "host"), theirs.get("controller", "port"))


def test_bare_ipv6_is_refused():
    with pytest.raises(SettingsError, match="ADDRESS"):
        split_controller("::1:80")


@pytest.mark.parametrize("assignment", ["x", "a=b", "DEFAULT.a=b", "=", ""])
def test_invalid_assignments_are_ignored_with_a_warning(assignment: str):
    settings = ClientSettings.load({"ZEEK_CLIENT_CONFIG_FILE": "/absent"}, assignments=[assignment])
    assert settings.warnings == [f"--set: '{assignment}' is not SECTION.KEY=VALUE, ignored"]
    assert settings.as_ini() == ClientSettings().as_ini()


def test_unknown_settings_are_kept_with_a_warning():
    settings = ClientSettings.load({}, assignments=["controller.prot=1", "client.verbosity=2"])
    assert settings.warnings == ["--set: unknown setting controller.prot"]
    assert "prot = 1" in settings.as_ini()


@pytest.mark.parametrize(
    ("assignment", "attribute"),
    [
        ("controller.port=0", "port"),
        ("controller.port=http", "port"),
        ("client.request_timeout_secs=nan", "request_timeout"),
        ("client.request_timeout_secs=0", "request_timeout"),
        ("client.peering_attempts=-1", "attempts"),
        ("client.peering_retry_delay_secs=inf", "retry_delay"),
        ("client.pretty_json=maybe", "pretty_json"),
        ("client.verbosity=loud", "verbosity"),
        ("ssl.enable=maybe", "tls"),
    ],
)
def test_wrong_values_name_key_value_and_origin(assignment: str, attribute: str):
    settings = ClientSettings.load({}, assignments=[assignment])
    key, _, value = assignment.partition("=")
    with pytest.raises(SettingsError) as caught:
        getattr(settings, attribute)
    assert str(caught.value).startswith(f"{key}: '{value}' (from --set) is wrong, expected ")
    assert caught.value.key == key


def test_percent_signs():
    settings = ClientSettings.load(
        {}, assignments=["ssl.enable=on", "ssl.passphrase=50%", "controller.host=%(port)s.example"]
    )
    assert settings.tls is not None
    assert settings.tls.passphrase == "50%"
    assert settings.host == "2149.example"


def test_passphrase_is_never_shown():
    settings = ClientSettings.load({}, assignments=["ssl.enable=on", "ssl.passphrase=hush"])
    assert "hush" not in settings.as_ini()
    assert "hush" not in repr(settings.tls)
    assert settings.items()["ssl"]["passphrase"] == "***"


def test_unreadable_sources(tmp_path: Path):
    (tmp_path / "bad").write_text("port = 1\n")
    with pytest.raises(SettingsError, match="no section headers"):
        ClientSettings.load({}, file=str(tmp_path / "bad"))
    with pytest.raises(SettingsError, match="ZEEK_CLIENT_CONFIG_SETTINGS"):
        ClientSettings.load({"ZEEK_CLIENT_CONFIG_SETTINGS": "a.b='"})


def test_shown_settings_can_be_read_again(tmp_path: Path):
    settings = ClientSettings.load({}, assignments=["controller.host=h"])
    parser = configparser.ConfigParser()
    parser.read_string(settings.as_ini())
    assert parser["controller"]["host"] == "h"


def test_certificates_are_found_beside_the_settings_file_or_where_zeek_client_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for directory in ("etc", "here"):
        (tmp_path / directory).mkdir()
    (tmp_path / "etc" / "c.cfg").write_text(
        "\ufeff[ssl]\nenable = yes\ncertificate = own.pem\nkeyfile = key.pem\ncafile = missing.pem\ncapath = /ca\n"
    )
    for name in ("etc/own.pem", "here/own.pem", "here/key.pem"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path / "here")
    tls = ClientSettings.load({}, file="../etc/c.cfg").tls
    assert tls is not None
    beside = tmp_path / "here" / ".." / "etc"
    assert (tls.certificate, tls.keyfile) == (str(beside / "own.pem"), "key.pem")
    assert (tls.cafile, tls.capath) == (str(beside / "missing.pem"), "/ca")
    given = ClientSettings.load({}, file="../etc/c.cfg", assignments=["ssl.certificate=own.pem"]).tls
    assert given is not None
    assert given.certificate == "own.pem"


def test_an_unusual_numeric_address_is_refused() -> None:
    with pytest.raises(
        SettingsError, match=r"controller.host: expected an IPv4 address .* '127.1' is not \(from --set"
    ):
        _ = ClientSettings.load({}, assignments=["controller.host=127.1"]).host
