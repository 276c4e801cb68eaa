"""How a real Zeek reads options from text: ``zeekfleet-options.zeek``, for one option of each type."""

from __future__ import annotations

import json
import shutil
import subprocess
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.zeek, pytest.mark.skipif(shutil.which("zeek") is None, reason="no zeek on PATH")]

PATIENCE = 60.0
NONE = "no such value"
UNSUPPORTED = "not supported"

OPTIONS = {
    "bool": "F",
    "count": "0",
    "int": "+0",
    "double": "0.0",
    "string": '""',
    "addr": "0.0.0.0",
    "subnet": "0.0.0.0/0",
    "port": "0/tcp",
    "interval": "0 secs",
    "time": "double_to_time(0.0)",
    "pattern": "/x/",
    "Hue": "DARK",
    "transport_proto": "tcp",
    "set[string]": "{}",
    "set[Hue]": "{}",
    "set[interval]": "{}",
    "set[pattern]": "{}",
    "set[addr,port]": "{}",
    "set[string,Hue]": "{}",
    "vector of Hue": "vector()",
    "vector of vector of count": "vector()",
    "table[string] of count": "{}",
    "table[Hue] of interval": "{}",
    "table[subnet] of set[string]": "{}",
    "table[string,port] of vector of addr": "{}",
    "Thing": "Thing($number=1)",
    "set[Thing]": "{}",
    "table[string] of Thing": "{}",
    "file": 'open("/dev/null")',
    "function(a: count): count": "function(a: count): count { return a; }",
}

PORT_80 = {"port": 80, "proto": "tcp"}

CASES: list[tuple[str, str, Any]] = [
    ("bool", "T", True),
    ("bool", " 1 ", True),
    ("bool", "yes", NONE),
    ("count", "18446744073709551615", 2**64 - 1),
    ("count", "18446744073709551616", NONE),
    ("count", "-1", NONE),
    ("int", "-5", -5),
    ("double", ".5", 0.5),
    ("double", "1e3", 1000.0),
    ("double", "1e", NONE),
    ("string", ' "a", b ', ' "a", b '),
    ("addr", "[fd00::1]", "fd00::1"),
    ("addr", "10.0.0", NONE),
    ("subnet", "10.1.0.0/16", "10.1.0.0/16"),
    ("subnet", "10.1.0.0/33", NONE),
    ("port", "80/tcp", PORT_80),
    ("port", "80", NONE),
    ("port", "70000/tcp", NONE),
    ("interval", "1.5 hrs", "1.0 hr 30.0 mins"),
    ("interval", "90", "1.0 min 30.0 secs"),
    ("interval", "5 weeks", NONE),
    ("time", "1700000000.5", 1700000000.5),
    ("pattern", "/ab+c/", "/^?(ab+c)$?/"),
    ("pattern", "/a\\/b/is", "/^?((?s:(?i:a\\/b)))$?/"),
    ("pattern", "ab", NONE),
    ("pattern", "/x[y/", NONE),
    ("pattern", "/a)(b/", NONE),
    ("Hue", "LIGHT", "LIGHT"),
    ("Hue", "tcp", NONE),
    ("Hue", "option_Hue", NONE),
    ("transport_proto", "udp", "udp"),
    ("set[string]", 'b, "a, c", "\\"\\\\"', ['"\\', "a, c", "b"]),
    ("set[string]", "{}", []),
    ("set[Hue]", "{DARK, LIGHT}", ["DARK", "LIGHT"]),
    ("set[Hue]", "DARK, RED", NONE),
    ("set[interval]", "5 min, 1", ["1.0 sec", "5.0 mins"]),
    ("set[pattern]", '/a/, "/b,c/i"', ["/^?((?i:b,c))$?/", "/^?(a)$?/"]),
    ("set[addr,port]", "[10.0.0.1, 80/tcp], [[fd00::1], 80/tcp]", [["10.0.0.1", PORT_80], ["fd00::1", PORT_80]]),
    ("set[addr,port]", "10.0.0.1, 80/tcp", NONE),
    ("set[addr,port]", "[10.0.0.1]", NONE),
    ("set[string,Hue]", '{["a, b", DARK]}', [["a, b", "DARK"]]),
    ("vector of Hue", "LIGHT, DARK, LIGHT", ["LIGHT", "DARK", "LIGHT"]),
    ("vector of vector of count", "[1, 2], [], [3]", [[1, 2], [], [3]]),
    ("vector of vector of count", "[1, x]", NONE),
    ("table[string] of count", 'a = 5, "b=c" = 6, ["d"] = 7', {"a": 5, "b=c": 6, "d": 7}),
    ("table[string] of count", "", {}),
    ("table[string] of count", "a", NONE),
    ("table[string] of count", "a = b", NONE),
    ("table[Hue] of interval", "DARK = 5 min", {"DARK": "5.0 mins"}),
    ("table[subnet] of set[string]", "10.0.0.0/8 = {a}, [fd00::]/8 = {}", {"10.0.0.0/8": ["a"], "fd00::/8": []}),
    ("table[string,port] of vector of addr", "[a, 80/tcp] = [10.0.0.1]", {json.dumps(["a", PORT_80]): ["10.0.0.1"]}),
    ("Thing", "1", UNSUPPORTED),
    ("set[Thing]", "1", UNSUPPORTED),
    ("table[string] of Thing", "a = 1", UNSUPPORTED),
    ("file", "/dev/null", UNSUPPORTED),
    ("function(a: count): count", "f", UNSUPPORTED),
]


def option(kind: str) -> str:
    return "option_" + "".join(letter if letter.isalnum() else "_" for letter in kind)


def script() -> str:
    options = str(resources.files("zeekfleet.node").joinpath("scripts", "zeekfleet-options.zeek"))
    lines = [
        f"@load {options}",
        "type Hue: enum { DARK, LIGHT };",
        "type Thing: record { number: count; };",
        *(f"option {option(kind)}: {kind} = {value};" for kind, value in OPTIONS.items()),
        "function attempt(name: string, text: string): string",
        "\t{",
        "\tlocal kind = type_name(lookup_ID(name));",
        f'\tif ( ! Zeekfleet::can_read_option(kind) ) return "{UNSUPPORTED}";',
        "\tlocal read = Zeekfleet::read_option_value(kind, text);",
        f'\tif ( ! read?$value ) return "{NONE}";',
        '\tif ( ! Option::set(name, read$value, "") ) return "refused";',
        '\treturn "= " + to_json(lookup_ID(name));',
        "\t}",
        # Not in zeek_init: there a pattern that does not compile is the end.
        "event attempt_all()",
        "\t{",
        *(f"\tprint attempt({json.dumps(option(kind))}, {json.dumps(text)});" for kind, text, _ in CASES),
        "\tterminate();",
        "\t}",
        "event zeek_init() { schedule 1 msec { attempt_all() }; }",
        "redef exit_only_after_terminate = T;",
    ]
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module", params=["whole", "bare"])
def answers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    directory: Path = tmp_path_factory.mktemp("options")
    (directory / "try.zeek").write_text(script())
    command = ["zeek", *(["-b"] if request.param == "bare" else []), "./try.zeek"]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done
    told = [line for line in done.stderr.splitlines() if "compil" not in line and "termination signal" not in line]
    assert told == [], "nothing but what is said of the wrong patterns"
    lines = done.stdout.splitlines()
    assert len(lines) == len(CASES)
    return lines


def test_options_of_all_types(answers: list[str]) -> None:
    found = [json.loads(line[2:]) if line.startswith("= ") else line for line in answers]
    for (kind, text, expected), value in zip(CASES, found, strict=True):
        told = sorted(value, key=str) if kind.startswith("set") and isinstance(value, list) else value
        wanted = sorted(expected, key=str) if isinstance(expected, list) and kind.startswith("set") else expected
        assert _normal(told) == _normal(wanted), (kind, text)


def _normal(value: Any) -> Any:
    """Parse the answer. Tables with several indices have JSON texts as keys, whose spacing is normalized here."""
    if not isinstance(value, dict):
        return value
    return {json.dumps(json.loads(key)) if key.startswith("[") else key: entry for key, entry in value.items()}
