"""``zeekfleet pki``, as a user runs it."""

from __future__ import annotations

import json
import os
import re
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from zeekfleet.cli.main import main
from zeekfleet.pki import reading
from zeekfleet.pki.directory import PkiDirectory

SERIAL = r"[0-9A-F]{2,40}"
DATE = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC"


class Command:
    """Runs the command with an authority in a directory of the test's own."""

    def __init__(self, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.directory = directory
        self._capsys = capsys

    def __call__(self, *words: str | Path, code: int = 0) -> tuple[str, str]:
        """What it says on both streams."""
        done = main(["pki", *map(str, words), "--directory", str(self.directory)])
        out, err = self._capsys.readouterr()
        assert done == code, err
        assert not code or err.count("\n") == 1
        return out, err

    def refused(self, *words: str | Path) -> str:
        """The sentence with which it fails."""
        out, err = self(*words, code=1)
        assert out == ""
        return err.removeprefix("error: ").removesuffix("\n")

    def listed(self) -> list[dict[str, object]]:
        certificates = json.loads(self("list", "--json")[0])["certificates"]
        assert isinstance(certificates, list)
        return certificates


@pytest.fixture
def pki(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    command = Command(tmp_path / "pki", capsys)
    command("init")
    return command


def identity(file: Path) -> str:
    return str(reading.identity_of(reading.read_certificate(file.read_bytes(), str(file))))


def hosts(file: Path) -> tuple[str, ...]:
    return reading.hosts_of(reading.read_certificate(file.read_bytes(), str(file)))


def test_init(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = Command(tmp_path / "a" / "pki", capsys)
    out, err = command("init", "--days", "100", "--permit", "Example.org")
    assert re.match(rf"authority    {command.directory}, valid until {DATE}\nfingerprint  [0-9a-f]{{64}}\n", out)
    assert "for hosts    example.org, localhost, 127.0.0.0/8, ::1/128\n" in out
    assert err == ""
    assert command.directory.parent.stat().st_mode & 0o777 == 0o700
    assert command.refused("init").startswith(f"{command.directory}/ca.pem is there already: with --force")
    assert "for the host a.example.com: it is made for example.org" in command.refused(
        "issue", "agent", "a", "--host", "a.example.com"
    )
    command("init", "--force")
    assert len(list(command.directory.glob("former-*/ca.key"))) == 1


def test_the_default_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZEEK_MANAGEMENT_STATE_DIR", str(tmp_path / "variable"))
    assert main(["pki", "init"]) == 0
    assert (tmp_path / "variable" / "pki" / "ca.pem").exists()
    assert main(["pki", "init", "--state-dir", str(tmp_path / "option")]) == 0
    assert (tmp_path / "option" / "pki" / "ca.pem").exists()


def test_issue(pki: Command) -> None:
    out, err = pki("issue", "agent", "sensor-1", "--host", "192.0.2.1")
    files = pki.directory / "certificates"
    assert re.fullmatch(
        rf"issued agent/sensor-1, serial {SERIAL}, valid until {DATE}\n"
        rf"certificate  {files}/agent-sensor-1.pem\n"
        rf"private key  {files}/agent-sensor-1.key\n"
        rf"authority    {files}/ca.pem\n",
        out,
    )
    assert err == ""
    assert identity(files / "agent-sensor-1.pem") == "agent/sensor-1"
    assert hosts(files / "agent-sensor-1.pem") == ("192.0.2.1",)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files / "agent-sensor-1.pem", files / "agent-sensor-1.key")


def test_a_controller_is_named_after_its_settings(pki: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZEEK_CONTROLLER_NAME", "c9")
    monkeypatch.setattr("zeekfleet.cli.pki.hostname", lambda: "Box")
    pki("issue", "controller")
    file = pki.directory / "certificates" / "controller-c9.pem"
    assert hosts(file) == ("box", "localhost", "127.0.0.1", "::1")
    pki("issue", "controller", "c10", "--host", "c.example.org")
    assert hosts(file.with_name("controller-c10.pem")) == ("c.example.org", "localhost", "127.0.0.1", "::1")


@pytest.mark.parametrize("role", ["viewer", "operator", "admin"])
def test_clients(pki: Command, role: str, tmp_path: Path) -> None:
    pki("issue", "client", "bob", "--role", role, "--out", tmp_path / "out", "--days", "7")
    assert identity(tmp_path / "out" / f"{role}-bob.pem") == f"{role}/bob"
    (listed,) = pki.listed()
    assert (listed["role"], listed["name"], listed["state"], listed["hosts"]) == (role, "bob", "valid", [])
    assert not list((pki.directory / "certificates").glob("*"))


def test_a_client_is_a_viewer_unless_told_otherwise(pki: Command) -> None:
    pki("issue", "client", "bob")
    assert pki.listed()[0]["role"] == "viewer"


def test_a_key_is_not_replaced_unawares(pki: Command, tmp_path: Path) -> None:
    pki("issue", "agent", "a")
    key = pki.directory / "certificates" / "agent-a.key"
    before = key.read_bytes()
    assert pki.refused("issue", "agent", "a").startswith(f"{key} is there already: renew")
    assert key.read_bytes() == before
    assert len(pki.listed()) == 1
    first = pki.listed()[0]["serial"]
    _, err = pki("issue", "agent", "a", "--force")
    assert re.fullmatch(
        rf"an earlier certificate stays valid until {DATE}; to end it: zeekfleet pki revoke {first}\n", err
    )
    assert key.read_bytes() != before
    pki("issue", "agent", "a", "--out", tmp_path / "out")
    assert [one["state"] for one in pki.listed()] == ["valid"] * 3


def test_files_of_two_authorities_are_not_mixed(pki: Command, tmp_path: Path) -> None:
    pki("issue", "agent", "a", "--out", tmp_path / "out")
    pki("init", "--force")
    assert "ca.pem is of another authority" in pki.refused("issue", "agent", "b", "--out", tmp_path / "out")
    assert pki.listed() == []


def test_a_directory_in_which_others_could_write(pki: Command, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    out.chmod(0o777)
    assert pki.refused("issue", "agent", "a", "--out", out) == (
        f"directory {out} can be written by other users: run 'chmod go-w {out}'"
    )
    out.rename(tmp_path / "other")
    out.symlink_to(tmp_path / "other")
    assert pki.refused("issue", "agent", "a", "--out", out) == f"{out} is a symbolic link: expected a directory"
    assert pki.listed() == []


def test_a_passphrase(pki: Command, tmp_path: Path) -> None:
    file = tmp_path / "passphrase"
    file.write_text("open sesame\nmore\n")
    file.chmod(0o600)
    pki("issue", "client", "bob", "--passphrase-file", file)
    pem = (pki.directory / "certificates" / "viewer-bob.key").read_bytes()
    assert b"ENCRYPTED" in pem
    assert serialization.load_pem_private_key(pem, b"open sesame")


@pytest.mark.parametrize(
    ("content", "mode", "problem"),
    [
        (b"", 0o600, "begins with an empty line: expected a passphrase"),
        (b"\nx", 0o600, "begins with an empty line: expected a passphrase"),
        (b"\xff", 0o600, "is not UTF-8 text"),
        (b"x", 0o644, "can be read by other users: run 'chmod 600 {file}'"),
        (None, 0, "cannot be read: No such file or directory"),
    ],
)
def test_files_with_no_passphrase(pki: Command, tmp_path: Path, content: bytes | None, mode: int, problem: str) -> None:
    file = tmp_path / "passphrase"
    if content is not None:
        file.write_bytes(content)
        file.chmod(mode)
    refused = pki.refused("issue", "client", "bob", "--passphrase-file", file)
    assert refused == f"{file} {problem.format(file=file)}"


def test_a_passphrase_that_is_too_long(pki: Command, tmp_path: Path) -> None:
    file = tmp_path / "passphrase"
    file.write_text("x" * 1024)
    file.chmod(0o600)
    assert pki.refused("issue", "client", "bob", "--passphrase-file", file) == (
        "the passphrase is too long: expected 1023 bytes at most"
    )
    assert not (pki.directory / "certificates" / "viewer-bob.key").exists()
    assert pki.listed() == []


def test_renew_by_name(pki: Command, tmp_path: Path) -> None:
    pki("issue", "agent", "a", "--host", "a.example", "--days", "30")
    file = pki.directory / "certificates" / "agent-a.pem"
    key, before = file.with_suffix(".key").read_bytes(), file.read_bytes()
    out, _ = pki("renew", "a")
    assert re.fullmatch(rf"renewed agent/a, serial {SERIAL}, valid until {DATE}\ncertificate  {file}\n", out)
    assert file.with_suffix(".key").read_bytes() == key
    assert file.read_bytes() != before
    assert hosts(file) == ("a.example",)
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(file, file.with_suffix(".key"))
    pki("renew", "agent/a", "--out", tmp_path / "out")
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tmp_path / "out" / "agent-a.pem", file.with_suffix(".key"))


def test_renew_by_file(pki: Command, tmp_path: Path) -> None:
    """What else is in the file stays, and whose it is."""
    out = tmp_path / "out"
    pki("issue", "agent", "a", "--out", out)
    both = tmp_path / "both.pem"
    key = (out / "agent-a.key").read_bytes()
    both.write_bytes(key + (out / "agent-a.pem").read_bytes() + b"# the end\n")
    both.chmod(0o640)
    pki("renew", both)
    assert both.read_bytes().startswith(key)
    assert both.read_bytes().endswith(b"# the end\n")
    assert both.stat().st_mode & 0o777 == 0o640
    assert len(pki.listed()) == 2
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(both)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_renewed_file_keeps_its_owner(pki: Command, tmp_path: Path) -> None:
    """The daemon that uses it may have a user of its own."""
    pki("issue", "agent", "a", "--out", tmp_path / "out")
    file = tmp_path / "out" / "agent-a.pem"
    os.chown(file, 65534, 65533)
    before = file.read_bytes()
    pki("renew", file)
    assert file.read_bytes() != before
    assert (file.stat().st_uid, file.stat().st_gid, file.stat().st_mode & 0o777) == (65534, 65533, 0o600)


def test_a_certificate_is_not_renewed_beside_another_key(pki: Command, tmp_path: Path) -> None:
    pki("issue", "agent", "a")
    pki("revoke", "a")
    pki("issue", "agent", "a", "--out", tmp_path / "out")
    file = pki.directory / "certificates" / "agent-a.pem"
    before = file.read_bytes()
    assert pki.refused("renew", "a") == (
        f"{file} is not one of the certificates that count: name the file, or use --out"
    )
    assert file.read_bytes() == before
    pki("renew", "a", "--out", tmp_path / "out")
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
        tmp_path / "out" / "agent-a.pem", tmp_path / "out" / "agent-a.key"
    )


def test_what_cannot_be_renewed(pki: Command, tmp_path: Path) -> None:
    pki("issue", "agent", "a")
    file = pki.directory / "certificates" / "agent-a.pem"
    assert "no certificate of the name or serial number 'b'" in pki.refused("renew", "b")
    assert pki.refused("renew", file.with_suffix(".key")).endswith(
        "agent-a.key holds no certificate in PEM format that can be read"
    )
    assert "was not issued by the authority" in pki.refused("renew", pki.directory / "ca.pem")
    pki("revoke", "a")
    assert pki.refused("renew", "a") == "all certificates of 'a' were revoked: issue another with a new key"
    assert re.fullmatch(rf"certificate {SERIAL} of agent/a was revoked: .*", pki.refused("renew", file))
    (tmp_path / "empty").touch()
    assert pki.refused("renew", tmp_path / "empty").startswith(f"{tmp_path}/empty holds no certificate in PEM format")
    link = tmp_path / "link"
    link.symlink_to(file)
    assert pki.refused("renew", link) == f"{link} cannot be used: it is a symbolic link, which is not followed here"


def test_revoke(pki: Command, tmp_path: Path) -> None:
    pki("issue", "agent", "a")
    pki("renew", "a")
    pki("issue", "agent", "b")
    out, _ = pki("revoke", "a")
    assert re.fullmatch(
        rf"(revoked agent/a, serial {SERIAL}\n){{2}}list of revoked certificates  {pki.directory}/crl.pem\n", out
    )
    assert {(one["name"], one["state"]) for one in pki.listed()} == {("a", "revoked"), ("b", "valid")}
    (serial,) = {one["serial"] for one in pki.listed() if one["name"] == "b"}
    assert pki("revoke", str(serial))[0].startswith(f"revoked agent/b, serial {serial}\n")
    assert re.match(rf"revoked agent/b, serial {serial} \(since {DATE}\)\n", pki("revoke", str(serial))[0])
    assert "no certificate of the name" in pki.refused("revoke", "c")


def test_list(pki: Command) -> None:
    pki("issue", "agent", "a", "--host", "192.0.2.1", "--days", "5")
    out, err = pki("list")
    lines = out.splitlines()
    assert lines[0].split() == ["ROLE", "NAME", "STATE", "VALID", "UNTIL", "SERIAL", "HOSTS"]
    assert re.fullmatch(rf"agent  a +valid, ends soon  {DATE}  {SERIAL} +192\.0\.2\.1", lines[1])
    assert lines[2].startswith(f"authority    {pki.directory}, valid until ")
    assert err == ""
    made = PkiDirectory(pki.directory)
    assert json.loads(pki("list", "--json")[0])["authority"] == {
        "directory": str(pki.directory),
        "fingerprint": reading.fingerprint(made.certificate),
        "valid_from": made.validity.begin,
        "valid_until": made.validity.end,
        "permitted": [],
    }


def test_json_may_be_asked_for_before_the_command(pki: Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--json", "pki", "list", "--directory", str(pki.directory)]) == 0
    assert json.loads(capsys.readouterr().out)["certificates"] == []


def test_a_list_needs_no_key(pki: Command) -> None:
    """The key may be kept elsewhere."""
    (pki.directory / "ca.key").unlink()
    pki("list")
    assert pki.refused("issue", "agent", "a").startswith(f"{pki.directory}/ca.key cannot be used: No such file")


@pytest.mark.parametrize("days", ["0", "-1", "1.5", "36501", "x", "", "1_0", "9" * 400])
def test_days_that_make_no_sense(pki: Command, days: str) -> None:
    _, err = pki("issue", "agent", "a", f"--days={days}", code=2)
    assert "is wrong: expected a whole number, days from 1 to 36500" in err


@pytest.mark.parametrize("words", [("list",), ("issue", "agent", "a"), ("renew", "a"), ("revoke", "a")])
def test_without_an_authority(tmp_path: Path, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    directory = tmp_path / "absent"
    refused = Command(directory, capsys).refused(*words)
    assert refused == f"there is no authority in {directory}: make one with 'zeekfleet pki init'"
    assert not directory.exists()


def test_only_what_makes_certificates_imports_the_library() -> None:
    code = (
        "import sys, zeekfleet.daemon.controller, zeekfleet.daemon.agent, zeekfleet.daemon.tls, zeekfleet.cli.session;"
        "from zeekfleet.cli.main import main; main(['help', 'pki']);"
        "print([name for name in sys.modules if name.startswith('cryptography')], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == "[]\n"
