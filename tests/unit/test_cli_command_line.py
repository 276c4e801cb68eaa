"""How command lines are read, and the errors for those that cannot be read."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from zeekfleet.cli import manual
from zeekfleet.cli.main import main
from zeekfleet.cli.purposes import VERBS


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("restrat", "unknown command 'restrat' (did you mean 'restart'?); see 'zeekfleet help'"),
        ("help restrat", "unknown command 'restrat' (did you mean 'restart'?); see 'zeekfleet help'"),
        ("xyzzy", "unknown command 'xyzzy'; see 'zeekfleet help'"),
        ("restart --rollling", "unknown option '--rollling' (did you mean '--rolling'?); see 'zeekfleet help restart'"),
        ("restart --rollling=yes", "unknown option '--rollling' (did you mean '--rolling'?)"),
        ("--contoller h:1 get-nodes", "unknown option '--contoller' (did you mean '--controller'?)"),
        ("agent --supervisor-prt 1", "unknown option '--supervisor-prt' (did you mean '--supervisor-port'?)"),
        ("restart -x", "unknown option '-x'; see 'zeekfleet help restart'"),
        ("get-instances here", "unexpected argument 'here'; see 'zeekfleet help get-instances'"),
        ("get-id-value", "the following arguments are required: IDENTIFIER; see 'zeekfleet help get-id-value'"),
        (
            "pki issue agent a --dyas 3",
            "unknown option '--dyas' (did you mean '--days'?); see 'zeekfleet pki issue agent --help'",
        ),
        ("pki list here", "unexpected argument 'here'; see 'zeekfleet pki list --help'"),
        ("pki issue agent", "the following arguments are required: NAME; see 'zeekfleet pki issue agent --help'"),
        ("pki", "the following arguments are required: ACTION; see 'zeekfleet help pki'"),
        ("show-settings up --engin", "argument --engine: expected one argument; see 'zeekfleet help up'"),
    ],
)
def test_a_mistake_is_one_sentence_that_names_the_nearest(line: str, said: str, capsys: pytest.CaptureFixture[str]):
    assert main(line.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"error: {said}")
    assert err.count("\n") == 1


@pytest.mark.parametrize("option", ["--controller=h:1", "--json", "-q", "-v", "--set=a.b=c", "-cfile"])
@pytest.mark.parametrize("verb", ["up", "agent", "controller", "supervise"])
def test_options_of_clients_are_refused_before_daemons(option: str, verb: str, capsys: pytest.CaptureFixture[str]):
    """Ignored, ``--controller`` would have an agent dial another controller than the one that was named."""
    assert main([option, verb, *(["file"] if verb == "supervise" else [])]) == 2
    assert f"before '{verb}' does not apply" in capsys.readouterr().err


@pytest.mark.parametrize("verb", VERBS)
def test_help_shows_what_the_option_shows(verb: str, capsys: pytest.CaptureFixture[str]):
    assert main(["help", verb]) == 0
    asked = capsys.readouterr()
    assert main([verb, "--help"]) == 0
    assert capsys.readouterr() == asked
    assert asked.out.startswith(f"usage: zeekfleet {verb}")
    assert asked.err == ""


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]):
    assert main(["help"]) == 0
    out = capsys.readouterr().out
    assert all(f"    {verb} " in out for verb in VERBS)


def test_every_verb_has_a_manual_page(tmp_path: Path):
    assert main(["help", "--man", str(tmp_path / "man1")]) == 0
    names = {file.name for file in (tmp_path / "man1").iterdir()}
    assert names == {"zeekfleet.1", *(f"zeekfleet-{verb}.1" for verb in VERBS)}
    for file in (tmp_path / "man1").iterdir():
        text = file.read_text()
        assert text.startswith(f'.TH "{file.stem.upper()}" 1 '.replace("-", r"\-"))
        sections = [line.removeprefix(".SH ") for line in text.splitlines() if line.startswith(".SH ")]
        assert sections[:3] == ["NAME", "SYNOPSIS", "DESCRIPTION"]
        assert sections[-2:] == ["EXIT STATUS", "SEE ALSO"]


@pytest.mark.parametrize("program", [("groff", "-man", "-ww", "-Tutf8", "-z"), ("mandoc", "-T", "lint", "-W", "error")])
def test_manual_pages_are_read_without_a_warning(program: tuple[str, ...], tmp_path: Path):
    if shutil.which(program[0]) is None:
        pytest.skip(f"there is no {program[0]}")
    for name, text in manual.pages().items():
        (tmp_path / name).write_text(text)
        done = subprocess.run([*program, tmp_path / name], capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), name


@pytest.mark.parametrize(
    ("text", "written"),
    [
        (".fi", r"\&.fi"),
        ("'quoted'\nand \\ more", r"\(aqquoted\(aq and \e more"),
        ('a-b ^~`"', r"a\-b \(ha\(ti\(ga\(dq"),
    ],
)
def test_text_is_text_to_roff(text: str, written: str):
    assert manual.escape(text) == written
