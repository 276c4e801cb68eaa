"""``zeekfleet token``, as a user runs it; and the token as ``zeekfleet agent`` takes it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from zeekfleet.cli.agent import without_token
from zeekfleet.cli.main import main
from zeekfleet.daemon import joining
from zeekfleet.daemon.controller_address import parse_controller
from zeekfleet.errors import PkiError, SettingsError
from zeekfleet.pki.join_token import make_token, parse_token
from zeekfleet.resolution import resolve

SECTIONS = ("common", "agent", "supervisor", "archive")


class Command:
    """Runs commands with a state directory of the test's own."""

    def __init__(self, state: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.state = state
        self._capsys = capsys

    def __call__(self, *words: str, code: int = 0) -> tuple[str, str]:
        """What it says on both streams."""
        done = main([*words, "--state-dir", str(self.state)])
        out, err = self._capsys.readouterr()
        assert done == code, err
        return out, err

    def json(self, *words: str) -> dict[str, object]:
        document = json.loads(self(*words, "--json")[0])
        assert isinstance(document, dict)
        return document


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    command = Command(tmp_path / "state", capsys)
    command("pki", "init")
    return command


def test_create_says_what_to_run_on_the_other_host(run: Command) -> None:
    run("pki", "issue", "controller", "c1", "--host", "192.0.2.10")
    out, err = run("token", "create", "agent", "sensor-1")
    assert err == ""
    first, _, command, *_ = out.splitlines()
    assert first.startswith("token for agent/sensor-1, to be used once until ")
    words = command.split()
    assert words[:3] == ["zeekfleet", "agent", "--join"]
    assert words[4:] == ["--controller", "192.0.2.10"]
    assert parse_token(words[3]).name == "sensor-1"


@pytest.mark.parametrize(
    ("host", "port", "place"),
    [("192.0.2.10", "2150", "192.0.2.10"), ("c.example", "77", "c.example:77"),
     ("2001:db8::1", "2150", "'[2001:db8::1]'"), ("2001:db8::1", "77", "'[2001:db8::1]:77'")],
)  # fmt: skip
def test_the_controllers_place(run: Command, host: str, port: str, place: str) -> None:
    run("pki", "issue", "controller", "c1", "--host", host)
    made = run.json("token", "create", "agent", "a", "--port", port)
    assert str(made["command"]).endswith(f" --controller {place}")
    assert parse_controller(place.strip("'")) == (host, int(port))


def test_notes_about_what_may_be_missing_or_too_much(run: Command) -> None:
    out, err = run("token", "create", "agent", "a")
    assert out.splitlines()[2].endswith("--controller HOST")
    assert err.startswith("warning: no controller has a certificate that counts: make one with")
    run("pki", "issue", "controller", "c1", "--host", "c.example")
    run("pki", "issue", "agent", "a")
    _, err = run("token", "create", "agent", "a")
    assert "a certificate stays valid until" in err
    assert "to end it: zeekfleet pki revoke" in err


def test_list_and_revoke(run: Command) -> None:
    assert run("token", "list")[0] == "there are no tokens\n"
    made = run.json("token", "create", "agent", "a", "--ttl", "1h30min", "--host", "A.example")
    assert made["hosts"] == ["a.example"]
    lifetime = float(str(made["accepted_until"])) - float(str(made["made"]))
    assert lifetime == 5400
    out, _ = run("token", "list")
    heading, row = out.splitlines()
    assert heading.split() == ["ROLE", "NAME", "STATE", "ACCEPTED", "UNTIL", "USED", "HOSTS"]
    assert row.split()[:3] == ["agent", "a", "waiting"]
    assert str(made["token"]).split(".")[1] not in out
    (listed,) = run.json("token", "list")["tokens"]  # type: ignore[misc]
    assert {**listed, "token": made["token"], "command": made["command"]} == made
    assert run("token", "revoke", "a")[0] == "revoked the token for agent/a\n"
    assert run("token", "revoke", "a", code=1)[1] == "error: there is no token for agent 'a'\n"


@pytest.mark.parametrize("ttl", ["0s", "59s", "31d", "1", "-1h", "h", "1h ", "1e3s"])
def test_how_long(run: Command, ttl: str) -> None:
    _, err = run("token", "create", "agent", "a", f"--ttl={ttl}", code=2)
    assert f"'{ttl}' is wrong: expected a duration such as 30min, from 1min to 30d" in err
    assert err.count("\n") == 1


def test_without_an_authority(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = Command(tmp_path, capsys)
    for words in (("create", "agent", "a"), ("list",), ("revoke", "a")):
        assert "there is no authority in" in run("token", *words, code=1)[1]


def test_help_does_not_load_the_library() -> None:
    code = (
        "import sys; from zeekfleet.cli.main import main; main(['token', 'create', 'agent', '--help']);"
        "print([name for name in sys.modules if name.startswith('cryptography')], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"


# The agent's side, before it talks to anybody

TOKEN = make_token("sensor-1", "ab" * 32)


def test_where_a_token_comes_from(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.touch(mode=0o600)
    file.write_text(f"{TOKEN.text}\n")
    other = make_token("other", "cd" * 32)
    environment = {"ZEEKFLEET_JOIN": other.text, "HOME": "/"}
    assert joining.given_token(TOKEN.text, None, environment) == TOKEN
    assert environment == {"HOME": "/"}  # no process that is started inherits it
    environment["ZEEKFLEET_JOIN"] = other.text
    assert joining.given_token(None, file, environment) == TOKEN
    assert joining.given_token(None, None, {"ZEEKFLEET_JOIN": other.text}) == other
    with pytest.raises(PkiError, match="the token is not one of 'zeekfleet token create'"):
        joining.given_token(None, None, {})


def test_files_that_hold_no_token(tmp_path: Path) -> None:
    file = tmp_path / "token"
    for content in (b"", b"nonsense", b"\xff\xfe", b"\0" * 10_000):
        file.write_bytes(content)
        file.chmod(0o600)
        with pytest.raises((PkiError, SettingsError)):
            joining.given_token(None, file, {})
    file.chmod(0o644)
    with pytest.raises(SettingsError, match="can be read by other users: run 'chmod 600"):
        joining.given_token(None, file, {})
    with pytest.raises(SettingsError, match="missing cannot be read: No such file"):
        joining.given_token(None, tmp_path / "missing", {})


def test_the_agent_has_the_name_in_the_token() -> None:
    named = joining.named_by(TOKEN, resolve(SECTIONS, {}, {}))
    assert named.settings.agent.name == "sensor-1"
    assert not named.sources["agent.name"].is_default
    assert joining.named_by(TOKEN, resolve(SECTIONS, {"agent.name": "sensor-1"}, {})).settings == named.settings
    with pytest.raises(SettingsError, match="'x' is not the name that the token is for, which is 'sensor-1'"):
        joining.named_by(TOKEN, resolve(SECTIONS, {"agent.name": "x"}, {}))


@pytest.mark.parametrize(
    "options", ["--join T", "--join=T", "--joi T", "--join-file T", "--join-file=T", "--join-f T", ""]
)
def test_the_token_leaves_the_command_line(options: str) -> None:
    words = ["python", "-m", "zeekfleet", "agent", "--name", "T", *options.split(), "--controller=T", "--listen", "::"]
    left = without_token(words, {"T"} if options else set())
    assert left == ["python", "-m", "zeekfleet", "agent", "--name", "T", "--controller=T", "--listen", "::"]


@pytest.mark.parametrize("controller", ["none", "127.0.0.1", "localhost:2150", "[::1]"])
def test_there_has_to_be_a_controller_elsewhere(controller: str, tmp_path: Path) -> None:
    options = {"agent.controller": controller, "common.state_dir": str(tmp_path / "state")}
    settings = resolve(SECTIONS, options, {}).settings
    with pytest.raises(SettingsError, match="expected the controller's host for --join"):
        joining.join(settings, TOKEN)
    assert not (tmp_path / "state").exists()


def test_files_of_the_settings_and_a_token(tmp_path: Path) -> None:
    settings = resolve(SECTIONS, {"agent.tls_certificate": "a.pem", "common.state_dir": str(tmp_path)}, {}).settings
    with pytest.raises(SettingsError, match="does not go with --join"):
        joining.certificate_there(settings)


@pytest.mark.parametrize(
    ("text", "place"),
    [("h", ("h", 2150)), ("192.0.2.1", ("192.0.2.1", 2150)), ("[2001:db8::1]", ("2001:db8::1", 2150)),
     ("[2001:db8::1]:1", ("2001:db8::1", 1)), ("h:1", ("h", 1)), ("none", None), ("0.0.0.0", None)],
)  # fmt: skip
def test_a_controllers_place(text: str, place: tuple[str, int] | None) -> None:
    assert parse_controller(text) == place


@pytest.mark.parametrize("text", ["", ":", ":1", "h:", "h:0", "h:65536", "h:x", "2001:db8::1", "[]", "[]:1", "1.2.3:1"])
def test_what_is_no_place(text: str) -> None:
    with pytest.raises(SettingsError):
        parse_controller(text)
