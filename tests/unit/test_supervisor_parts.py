from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeekfleet.errors import NotSupervisorError
from zeekfleet.model.enums import ClusterRole
from zeekfleet.model.launch_context import HostContext, NodePaths
from zeekfleet.model.names import short_file_name
from zeekfleet.model.supervisor import ClusterEndpoint, NodeConfig
from zeekfleet.model.types import Address, Port
from zeekfleet.model.variables import NODE_CONFIG
from zeekfleet.supervisor import Supervisor, identity, places
from zeekfleet.supervisor.engine import CommandEngine
from zeekfleet.supervisor.lines import LineSplitter
from zeekfleet.supervisor.tail import MAX_BYTES, last_lines


@given(data=st.lists(st.binary(max_size=50)))
def test_lines_do_not_depend_on_fragmentation(data: list[bytes]) -> None:
    whole, pieces = LineSplitter(16), LineSplitter(16)
    at_once = [*whole.feed(b"".join(data)), *whole.flush()]
    in_pieces = [line for chunk in data for line in pieces.feed(chunk)] + list(pieces.flush())
    assert "".join(at_once) == "".join(in_pieces)
    assert all(len(line) <= 16 for line in at_once + in_pieces)


def test_lines_are_bounded_and_invalid_bytes_are_replaced() -> None:
    splitter = LineSplitter(4)
    assert list(splitter.feed(b"a\n\nb\r\nabcdefgh12")) == ["a", "", "b", "abcd", "efgh"]
    assert list(splitter.feed(b"\n\xff\n")) == ["12", "�"]
    assert list(splitter.flush()) == []


@given(lines=st.lists(st.text("ab", max_size=5), max_size=30), count=st.integers(0, 40), ended=st.booleans())
def test_last_lines(tmp_path_factory: pytest.TempPathFactory, lines: list[str], count: int, ended: bool) -> None:
    path = tmp_path_factory.mktemp("tail") / "file"
    content = "\n".join(lines) + ("\n" if ended and lines else "")
    path.write_text("before\n" + content + "after\n")
    start = len("before\n")
    expected = content.removesuffix("\n").split("\n")[-count:] if count else []
    assert last_lines(path, start, start + len(content), count) == "\n".join(expected)


def test_last_lines_of_long_ones_are_bounded(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * (3 * MAX_BYTES))
    assert len(last_lines(path, 0, 3 * MAX_BYTES, 100)) == MAX_BYTES
    assert last_lines(tmp_path / "missing", 0, 10, 100) == ""


def test_last_lines_of_a_truncated_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("new\n")
    assert last_lines(path, 1000, 2000, 100) == "new"


@pytest.mark.parametrize(
    ("config", "text"),
    [
        (NodeConfig(name=""), "node names must not be an empty string"),
        (NodeConfig(name="a b"), "node names must not contain spaces: 'a b'"),
        (NodeConfig(name="taken"), "node with name 'taken' already exists"),
        (NodeConfig(name="n", interface="lo", pcap_file="f"), "node with name 'n' has interface and pcap_file set"),
        (NodeConfig(name="n", interface="lo"), ""),
        (NodeConfig(name=".."), "node name '..' means a directory"),
        (NodeConfig(name="."), "node name '.' means a directory"),
        (NodeConfig(name="a/b"), "node name 'a/b' contains a slash"),
        (NodeConfig(name="a\n"), "node name 'a\\n' contains a space or an unprintable character"),
        (NodeConfig(name="\ud800"), "node name '\\ud800' contains a space or an unprintable character"),
        (NodeConfig(name="x" * 129), f"node name '{'x' * 129}' is longer than 128 bytes"),
        (
            NodeConfig(name="n", env={"A": "\ud800"}),
            "node with name 'n' has text that is not valid UTF-8 in its configuration",
        ),
        (NodeConfig(name="n", env={"A": "\0"}), "node with name 'n' has a NUL character in its configuration"),
    ],
)
def test_the_protocols_error_texts(config: NodeConfig, text: str) -> None:
    assert places.problem_with(config, {"taken"}) == text


def test_places() -> None:
    state = Path("/state")
    host = HostContext(state, Path("/spool"), False, {})
    default = host.paths(NodeConfig(name="n"))
    assert default.directory == state / "nodes" / "n"
    assert (default.stdout_file, default.stderr_file) == (default.directory / "stdout", default.directory / "stderr")
    own = host.paths(NodeConfig(name="n", directory="/d", stdout_file="o", stderr_file="/e/f"))
    assert own == NodePaths(Path("/d"), Path("/d/o"), Path("/e/f"))


@pytest.mark.parametrize("name", ["..", ".", "a/../../b", "/etc"])
def test_no_node_directory_is_outside_the_state_directory(name: str) -> None:
    directory = HostContext(Path("/state"), Path("/spool"), False, {}).paths(NodeConfig(name=name)).directory
    assert directory.resolve().parent == Path("/state/nodes")
    assert "/" not in short_file_name(name)


def test_record_file_names_are_distinct_and_short() -> None:
    names = ["a", "A", "a/b", "a%2Fb", "x" * 500, "x" * 501, "ü" * 100]
    files = {short_file_name(name) for name in names}
    assert len(files) == len(names)
    assert all(len(file) < 255 for file in files)


def test_the_environment_omits_variables_of_this_process() -> None:
    given_ = {"PATH": "/bin", "NOTIFY_SOCKET": "x", "ZEEKFLEET_NODE_CONFIG": "y", "BAD": "\udcff"}
    assert places.base_environment(given_) == {"PATH": "/bin"}


def test_node_reads_its_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = {"n": ClusterEndpoint(ClusterRole.WORKER, Address("::1"), Port(1), metrics_port=Port(2, "udp"))}
    config = NodeConfig(name="n", env={"A": "b"}, addl_user_scripts=("x",), cluster=cluster)
    path = tmp_path / "config"
    path.write_text(identity.encode_config(config))
    assert not identity.is_supervised()
    with pytest.raises(NotSupervisorError):
        identity.node()
    monkeypatch.setenv(NODE_CONFIG, str(path))
    assert identity.is_supervised()
    assert identity.node() == config
    path.write_text("{")
    with pytest.raises(NotSupervisorError):
        identity.node()


async def test_outside_a_supervisor(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path, CommandEngine(["true"]))
    assert not identity.is_supervisor()
    for call in (supervisor.create(NodeConfig(name="n")), supervisor.destroy(), supervisor.restart()):
        with pytest.raises(NotSupervisorError):
            await call
    with pytest.raises(NotSupervisorError):
        supervisor.status()
