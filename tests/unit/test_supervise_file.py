from __future__ import annotations

import json
from pathlib import Path

import pytest

from zeekfleet.cli.supervise_file import Program, read
from zeekfleet.errors import SettingsError
from zeekfleet.model.enums import ClusterRole
from zeekfleet.model.launch import Resources, RevivalSettings
from zeekfleet.model.supervisor import ClusterEndpoint, NodeConfig
from zeekfleet.model.types import NO_PORT, Address, Port

FULL = """
state_dir = "state"
command = ["sleep", "1000"]
bare_mode = true

[[node]]
name = "a"
interface = "lo"
directory = "/d"
stdout_file = "o"
stderr_file = "e"
bare_mode = false
addl_base_scripts = ["b"]
addl_user_scripts = ["u", "v"]
env = { K = "V" }
cpu_affinity = 1
engine = "sim"
[node.cluster.a]
role = "worker"
host = "::1"
[node.cluster.m]
role = "Supervisor::MANAGER"
host = "127.0.0.1"
p = 2200
metrics_port = "9000/tcp"

[[node]]
name = "b"
pcap_file = "f"
"""
A = NodeConfig(
    name="a",
    interface="lo",
    directory="/d",
    stdout_file="o",
    stderr_file="e",
    bare_mode=False,
    addl_base_scripts=("b",),
    addl_user_scripts=("u", "v"),
    env={"K": "V"},
    cpu_affinity=1,
    cluster={
        "a": ClusterEndpoint(ClusterRole.WORKER, Address("::1"), NO_PORT),
        "m": ClusterEndpoint(ClusterRole.MANAGER, Address("127.0.0.1"), Port(2200), metrics_port=Port(9000)),
    },
)


def test_everything(tmp_path: Path) -> None:
    path = tmp_path / "nodes.toml"
    path.write_text(FULL)
    content = read(path)
    assert content.state_directory == tmp_path / "state"
    assert content.bare_mode
    sleep = Program(command=("sleep", "1000"))
    assert content.nodes == ((A, Program(engine="sim")), (NodeConfig(name="b", pcap_file=f"{tmp_path}/f"), sleep))


def test_json_and_defaults(tmp_path: Path) -> None:
    path = tmp_path / "nodes.json"
    path.write_text(json.dumps({"node": [{"name": "a"}]}))
    content = read(path)
    assert content.state_directory is None
    assert content.nodes == ((NodeConfig(name="a"), Program(engine="auto")),)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "there is no [[node]] table in it"),
        ("node = 1", ": node: Expected array, got int"),
        ("x = 1", ": x: unknown key at the top level"),
        ("[[node]]", ": [[node]] number 1: name: missing"),
        ("[[node]]\nname = ''", "[[node]] number 1: name: is not allowed, expected 1 to 64 letters"),
        ("[[node]]\nname = '..'", "[[node]] '..': name: is not allowed, expected 1 to 64 letters"),
        ("[[node]]\nname = '.'", "name: is not allowed, expected 1 to 64 letters"),
        ("[[node]]\nname = 'a/b'", "name: is not allowed, expected 1 to 64 letters"),
        ("[[node]]\nname = 'a b'", "name: is not allowed, expected 1 to 64 letters"),
        ('[[node]]\nname = "a\\nb"', "name: is not allowed, expected 1 to 64 letters"),
        (f"[[node]]\nname = '{'x' * 10000}'", "name: is not allowed, expected 1 to 64 letters"),
        ("[[node]]\nname = 1", "[[node]] number 1: name: Expected str, got int"),
        ("[[node]]\nname = 'a'\nnmae = 'b'", "[[node]] 'a': nmae: unknown key"),
        ("[[node]]\nname = 'a'\ncpu_affinity = 'x'", "[[node]] 'a': cpu_affinity: Expected int | null, got str"),
        ("[[node]]\nname = 'a'\nenv = { A = 1 }", "[[node]] 'a': env: Expected str, got int"),
        ("[[node]]\nname = 'a'\n[[node]]\nname = 'a'", "[[node]] 'a': name: another node has the same name"),
        ("[[node]]\nname = 'a'\nengine = 'x'", "[[node]] 'a': engine: expected one of auto, zeek, sim, not 'x'"),
        ("[[node]]\nname = 'a'\ncommand = []", "[[node]] 'a': command: must name a program"),
        ("[[node]]\nname = 'a'\ncommand = 'sleep'", "[[node]] 'a': command: Expected array, got str"),
        ("[[node]]\nname = 'a'\ncommand = ['x']\nengine = 'sim'", "command: cannot be set beside engine"),
        ("[[node]]\nname = 'a'\ninterface = 'x'\npcap_file = 'y'", "pcap_file: cannot be set beside interface"),
        ("[[node]]\nname = 'a'\n[node.cluster.m]\nhost = '::1'", "'a': cluster.m.role: missing"),
        ("[[node]]\nname = 'a'\n[node.cluster.m]\nrole = 'x'", "cluster.m.role: expected one of NONE, LOGGER"),
        ("[[node]]\nname = 'a'\n[node.cluster.m]\nrole = 'NONE'\nhost = 'x'", "cluster.m.host: 'x' does not appear"),
        ("[[node]]\nname = 'a'\n[node.cluster.m]\np = '99999/tcp'", "cluster.m.p: port number 99999"),
        ("[[node]]\nname = 'a'\n[node.cluster.m]\nq = 1", "cluster.m.q: unknown key"),
        ("[[node]", "not valid TOML"),
    ],
)
def test_one_sentence_that_names_file_table_and_key(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "nodes.toml"
    path.write_text(text)
    with pytest.raises(SettingsError) as caught:
        read(path)
    message = str(caught.value)
    assert sentence in message
    assert message.startswith(str(path))
    assert "\n" not in message


@pytest.mark.parametrize("content", [b"[", b"\xff", b"[]", b"[" * 100000])
def test_bad_json(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "nodes.json"
    path.write_bytes(content)
    with pytest.raises(SettingsError):
        read(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="No such file"):
        read(tmp_path / "nosuch.toml")


def test_grace_revival_and_resources_are_inherited_field_by_field(tmp_path: Path) -> None:
    file = tmp_path / "nodes.toml"
    file.write_text(
        'command = ["sleep", "1"]\ngrace = 2\nrevival = { loop_limit = 9 }\nresources = { nice = 3 }\n'
        '[[node]]\nname = "a"\n'
        '[[node]]\nname = "b"\ngrace = 4.5\nrevival = { retry_delay = 7.0 }\nresources = { cpus = [0, 1] }\n'
    )
    (_, a), (_, b) = read(file).nodes
    assert (a.grace, a.revival, a.resources) == (2.0, RevivalSettings(loop_limit=9), Resources(nice=3))
    assert b.command == ("sleep", "1")
    assert b.grace == 4.5
    assert b.revival == RevivalSettings(loop_limit=9, retry_delay=7.0)
    assert b.resources == Resources(nice=3, cpus=(0, 1))


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ("grace = 0", "grace"),
        ('grace = "x"', "grace"),
        ("revival = { nosuch = 1 }", "revival.nosuch"),
        ("revival = { loop_limit = -1 }", "revival.loop_limit"),
        (
            "revival = { loop_limit = 9223372036854775807 }",
            "'a': revival.loop_limit: expected a number from 1 to 1000",
        ),
        ("revival = { stable_after = inf }", "'a': revival.stable_after: expected seconds from 0 to 2678400, not inf"),
        ("revival = { jitter = nan }", "'a': revival.jitter: expected a fraction from 0 to 10, not nan"),
        ("grace = nan", "'a': grace: expected seconds more than 0 to 86400, not nan"),
        ("grace = inf", "grace"),
        ("resources = { nice = 20 }", "resources.nice: expected a priority from -20 to 19"),
        ("resources = { cpus = [0, -1] }", "resources.cpus"),
        ("resources = { memory = 9223372036854775807 }", "resources.memory"),
        ("resources = { open_files = 0 }", "resources.open_files"),
        ('resources = { memory = "1G" }', "resources.memory"),
        ("resources = 1", "resources"),
    ],
)
def test_wrong_grace_revival_or_resources_are_named(tmp_path: Path, line: str, place: str) -> None:
    file = tmp_path / "nodes.toml"
    file.write_text(f'[[node]]\nname = "a"\ncommand = ["true"]\n{line}\n')
    with pytest.raises(SettingsError, match=place):
        read(file)


def test_relative_paths_are_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "own.zeek").touch()
    (tmp_path / "site" / "nodes.toml").write_text(
        "\ufeff[[node]]\nname = 'a'\ndirectory = 'work'\ncommand = ['bin/tool', './x']\nstdout_file = 'out'\n"
        "addl_user_scripts = ['own.zeek', 'local', './new']\n[[node]]\nname = 'b'\ncommand = ['sleep', '1']\n"
    )
    monkeypatch.chdir(tmp_path)
    (first, tool), (_, sleep) = read(Path("site/nodes.toml")).nodes
    site = f"{tmp_path}/site"
    assert (first.directory, first.stdout_file) == (f"{site}/work", "out")
    assert first.addl_user_scripts == (f"{site}/own.zeek", "local", f"{site}/new")
    assert (tool.command, sleep.command) == ((f"{site}/bin/tool", "./x"), ("sleep", "1"))


def test_a_key_given_twice_in_json_is_refused_as_in_toml(tmp_path: Path) -> None:
    path = tmp_path / "nodes.json"
    path.write_text('{"node": [{"name": "a", "command": ["x"], "name": "b"}]}')
    with pytest.raises(SettingsError, match="not valid JSON: key 'name' is given twice in one object"):
        read(path)
