"""How an engine is chosen, and the launch spec that it makes for a node."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import pytest

from zeekfleet.errors import ConfigurationError, LaunchError, SettingsError
from zeekfleet.model.curve import CurveKeys
from zeekfleet.model.enums import ClusterRole
from zeekfleet.model.launch import Engine, LaunchContext
from zeekfleet.model.supervisor import ClusterEndpoint, NodeConfig
from zeekfleet.model.types import NO_PORT, Address, Port
from zeekfleet.model.variables import AGENT_LINK, CURVE_FILE, WEBSOCKET_PORT
from zeekfleet.node import engines
from zeekfleet.node.link import agent_link, websocket_port
from zeekfleet.node.simulator.engine import SimulatorEngine
from zeekfleet.node.zeek.engine import ZeekEngine, ZeekOptions, management_script
from zeekfleet.node.zeek.installation import Installation, examine
from zeekfleet.planning.layout import Backend
from zeekfleet.planning.zeek_versions import ZeekVersion

LOOPBACK = Address("127.0.0.1")
CLUSTER = {
    "manager": ClusterEndpoint(ClusterRole.MANAGER, LOOPBACK, Port(2200), metrics_port=Port(9000)),
    "logger": ClusterEndpoint(ClusterRole.LOGGER, LOOPBACK, Port(2201)),
    "worker": ClusterEndpoint(ClusterRole.WORKER, LOOPBACK, NO_PORT, interface="lo"),
}
CONTEXT = LaunchContext(
    directory="/state/nodes/worker",
    stdout_file="/state/nodes/worker/stdout",
    stderr_file="/state/nodes/worker/stderr",
    state_directory="/state",
    spool_directory="/spool",
    bare_mode=False,
    environment={"PATH": "/bin", "HOME": "/root"},
)
INSTALLATION = Installation("/opt/zeek/bin/zeek", (9, 0, 0), "9.0.0-rc1", "/opt/zeek/share/zeek")


def pretend_zeek(directory: Path, version: str) -> Path:
    for name, answer in (("zeek", f"zeek version {version}"), ("zeek-config", "/z/share:/z/policy")):
        program = directory / name
        program.write_text(f"#!/bin/sh\necho '{answer}'\n")
        program.chmod(0o755)
    return directory / "zeek"


def test_auto_chooses_zeek_if_there_is_one(tmp_path: Path) -> None:
    program = pretend_zeek(tmp_path, "8.1.2")
    engine = engines.select("auto", search_path=str(tmp_path))
    assert isinstance(engine, ZeekEngine)
    assert (engine.name, engine.description) == ("zeek", f"Zeek 8.1.2 at {program}")
    config = NodeConfig(name="worker", cluster=CLUSTER)
    assert engine.launch(config, CONTEXT).env["ZEEKPATH"] == "/state/nodes/worker:/z/share:/z/policy"


def test_auto_chooses_simulated_nodes_without_a_zeek(tmp_path: Path) -> None:
    engine = engines.select("auto", search_path=str(tmp_path))
    assert engine.name == "sim"
    assert "no Zeek" in engine.description


def test_sim_is_sim_even_with_a_zeek(tmp_path: Path) -> None:
    pretend_zeek(tmp_path, "9.0.0")
    assert engines.select("sim", search_path=str(tmp_path)).name == "sim"


def test_a_missing_zeek_is_reported(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="'zeek' was asked for, but there is no zeek on PATH"):
        engines.select("zeek", search_path=str(tmp_path))


def test_an_unknown_engine_is_reported() -> None:
    with pytest.raises(ConfigurationError, match="engine 'bro' is unknown; there are auto, zeek, sim"):
        engines.select("bro")


@pytest.mark.parametrize("name", ["auto", "zeek"])
@pytest.mark.parametrize(
    ("version", "problem"), [("7.1.1", "is Zeek 7.1.1, too old: 7.2.0 or later is needed"), ("x", "is no Zeek")]
)
def test_an_unusable_zeek_is_reported(tmp_path: Path, name: str, version: str, problem: str) -> None:
    program = pretend_zeek(tmp_path, version)
    with pytest.raises(ConfigurationError) as caught:
        engines.select(name, search_path=str(tmp_path))
    assert problem in str(caught.value)
    assert str(program) in str(caught.value)


def test_a_zeek_that_fails_is_reported(tmp_path: Path) -> None:
    pretend_zeek(tmp_path, "9.0.0").write_text("#!/bin/sh\necho broken >&2\nexit 3\n")
    with pytest.raises(ConfigurationError, match="failed with status 3: broken"):
        engines.select("zeek", search_path=str(tmp_path))


def test_zeek_launch_of_a_worker() -> None:
    config = NodeConfig(
        name="worker",
        interface="lo",
        cluster=CLUSTER,
        env={WEBSOCKET_PORT: "7700", "MINE": "yes"},
        addl_user_scripts=("mine.zeek", "Notice::mail_dest=x@y"),
        cpu_affinity=2,
    )
    spec = ZeekEngine(INSTALLATION).launch(config, CONTEXT)
    assert spec.argv == (
        "/opt/zeek/bin/zeek",
        "-i",
        "lo",
        "-U",
        ".status",
        "frameworks/cluster/backend/zeromq",
        "/state/nodes/worker/zeekfleet-launch.zeek",
        "local",
        management_script(),
        "mine.zeek",
        "Notice::mail_dest=x@y",
    )
    assert spec.env == {
        "PATH": "/bin",
        "HOME": "/root",
        "MINE": "yes",
        WEBSOCKET_PORT: "7700",
        "CLUSTER_NODE": "worker",
        "ZEEKPATH": "/state/nodes/worker:/opt/zeek/share/zeek",
        "ZEEK_DISABLE_ZEEKYGEN": "1",
    }
    assert spec.files["cluster-layout.zeek"] == (
        "redef Cluster::nodes = {\n"
        '\t["logger"] = [$node_type=Cluster::LOGGER, $ip=127.0.0.1, $p=2201/tcp, $manager="manager"],\n'
        '\t["manager"] = [$node_type=Cluster::MANAGER, $ip=127.0.0.1, $p=2200/tcp, $metrics_port=9000/tcp],\n'
        '\t["worker"] = [$node_type=Cluster::WORKER, $ip=127.0.0.1, $manager="manager"],\n'
        "};\n"
        "redef Cluster::manager_is_logger = F;\n"
    )
    assert "$listen_port=7700/tcp" in spec.files["zeekfleet-launch.zeek"]
    assert (spec.name, spec.directory, spec.cpu_affinity) == ("worker", CONTEXT.directory, 2)
    assert (spec.stdout_file, spec.stderr_file) == (CONTEXT.stdout_file, CONTEXT.stderr_file)
    assert spec.grace == 10.0


def test_no_websocket_on_a_logger() -> None:
    config = NodeConfig(name="logger", cluster=CLUSTER, env={WEBSOCKET_PORT: "7700"})
    spec = ZeekEngine(INSTALLATION).launch(config, CONTEXT)
    assert WEBSOCKET_PORT not in spec.env
    assert "listen_websocket" not in spec.files["zeekfleet-launch.zeek"]


@pytest.mark.parametrize(
    ("version", "listens_by"),
    [((7, 2, 1), '$listen_host="127.0.0.1"'), ((7, 2, 2), "$listen_addr=127.0.0.1")],
)
def test_older_zeeks_listen(version: ZeekVersion, listens_by: str) -> None:
    installation = msgspec.structs.replace(INSTALLATION, version=version)
    config = NodeConfig(name="worker", cluster=CLUSTER, env={WEBSOCKET_PORT: "7700"})
    spec = ZeekEngine(installation).launch(config, CONTEXT)
    assert listens_by in spec.files["zeekfleet-launch.zeek"]


@pytest.mark.parametrize(
    ("version", "backend", "loaded"),
    [
        ((7, 2, 2), Backend.BROKER, []),
        ((8, 0, 9), Backend.BROKER, []),
        ((8, 1, 0), Backend.BROKER, ["frameworks/cluster/backend/broker"]),
        ((7, 2, 2), Backend.ZEROMQ, ["frameworks/cluster/backend/zeromq/connect"]),
        ((8, 0, 9), Backend.ZEROMQ, ["frameworks/cluster/backend/zeromq/connect"]),
        ((8, 1, 0), Backend.ZEROMQ, ["frameworks/cluster/backend/zeromq"]),
    ],
)
def test_older_zeeks_load_their_back_end(version: ZeekVersion, backend: Backend, loaded: list[str]) -> None:
    installation = msgspec.structs.replace(INSTALLATION, version=version)
    spec = ZeekEngine(installation, ZeekOptions(backend)).launch(NodeConfig(name="worker", cluster=CLUSTER), CONTEXT)
    assert [word for word in spec.argv if "/backend/" in word] == loaded
    assert spec.argv[3:].index("/state/nodes/worker/zeekfleet-launch.zeek") == len(loaded)


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("7.2.2", (7, 2, 2)),
        ("9.0.0-rc1", (9, 0, 0)),
        ("8.1.0-dev.123-debug", (8, 1, 0)),
        ("10.1", (10, 1, 0)),
    ],
)
def test_versions(tmp_path: Path, text: str, version: ZeekVersion) -> None:
    found = examine(str(pretend_zeek(tmp_path, text)))
    assert (found.version, found.version_text) == (version, text)


SIX = {"manager": CLUSTER["manager"], "worker": ClusterEndpoint(ClusterRole.WORKER, Address("fd00::1"), NO_PORT)}
KEY = "ZEEK_CLUSTER_BACKEND_ZEROMQ_CURVE_SERVER_PUBLICKEY"
CURVE_PROBLEM = "cannot encrypt ZeroMQ between hosts: that takes 8.2.0, or the back end 'broker'"


@pytest.mark.parametrize(
    ("version", "config", "problem"),
    [
        ((7, 2, 1), NodeConfig(name="worker", cluster=SIX), "Zeek 7.2.1 has ZeroMQ with IPv4 addresses only"),
        ((8, 1, 9), NodeConfig(name="worker", cluster=CLUSTER, env={KEY: "k"}), f"Zeek 8.1.9 {CURVE_PROBLEM}"),
    ],
)
def test_limits_of_older_zeeks_with_zeromq(version: ZeekVersion, config: NodeConfig, problem: str) -> None:
    installation = msgspec.structs.replace(INSTALLATION, version=version)
    with pytest.raises(LaunchError, match=problem):
        ZeekEngine(installation).launch(config, CONTEXT)
    ZeekEngine(installation, ZeekOptions(Backend.BROKER)).launch(config, CONTEXT)
    ZeekEngine(INSTALLATION).launch(config, CONTEXT)


def test_keys_that_an_older_zeek_would_ignore_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_bytes(msgspec.json.encode(CurveKeys("a", "b", "c", "d")))
    config = NodeConfig(name="worker", cluster=CLUSTER, env={CURVE_FILE: str(file)})
    older = ZeekEngine(msgspec.structs.replace(INSTALLATION, version=(8, 1, 0)))
    with pytest.raises(LaunchError, match=CURVE_PROBLEM):
        older.launch(config, CONTEXT)
    newer = ZeekEngine(msgspec.structs.replace(INSTALLATION, version=(8, 2, 0)))
    assert newer.launch(config, CONTEXT).env[KEY] == "a"


async def test_a_check_knows_that_there_will_be_keys(tmp_path: Path) -> None:
    cluster = {**CLUSTER, "manager": msgspec.structs.replace(CLUSTER["manager"], host=Address("192.0.2.1"))}
    config = NodeConfig(name="worker", cluster=cluster)
    older = ZeekEngine(msgspec.structs.replace(INSTALLATION, version=(8, 1, 0)), ZeekOptions(rotation_interval=0))
    [problem] = await older.check(config, CONTEXT, tmp_path)
    assert problem.endswith(CURVE_PROBLEM)
    assert "zeekfleet-launch.zeek" in older.launch(config, CONTEXT).files


def test_for_a_trace_only_queue_limits_that_this_zeek_knows_are_lifted() -> None:
    cluster = {**CLUSTER, "worker": msgspec.structs.replace(CLUSTER["worker"], pcap_file="/t.pcap")}
    config = NodeConfig(name="worker", cluster=cluster)
    for version, known in (((7, 2, 2), False), ((8, 0, 0), True)):
        engine = ZeekEngine(msgspec.structs.replace(INSTALLATION, version=version))
        script = engine.launch(config, CONTEXT).files["zeekfleet-launch.zeek"]
        assert ("xpub_sndhwm" in script, "onloop_queue_hwm" in script) == (known, known)
        assert "redef Cluster::Backend::ZeroMQ::log_sndhwm = 0;" in script


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        (NodeConfig(name="w", interface="lo", pcap_file="x.pcap"), "interface and pcap_file"),
        (NodeConfig(name="w", env={WEBSOCKET_PORT: "many"}), "'many' is no port number"),
    ],
)
def test_launches_that_are_refused(config: NodeConfig, problem: str) -> None:
    with pytest.raises(LaunchError, match=problem) as caught:
        ZeekEngine(INSTALLATION).launch(config, CONTEXT)
    assert caught.value.node == "w"


def test_sim_launch() -> None:
    config = NodeConfig(name="worker", cluster=CLUSTER, env={"PATH": "/mine", "CLUSTER_NODE": "other"}, cpu_affinity=1)
    engine: Engine = SimulatorEngine()
    spec = engine.launch(config, CONTEXT)
    assert spec.argv == (sys.executable, "-P", "-m", "zeekfleet.node.simulator")
    assert (spec.env["CLUSTER_NODE"], spec.env["PATH"], spec.env["HOME"]) == ("worker", "/mine", "/root")
    assert (spec.name, spec.directory, spec.cpu_affinity) == ("worker", CONTEXT.directory, 1)
    assert set(spec.files) == {"node-config.json", "cluster-nodes.json"}
    other = engine.launch(msgspec.structs.replace(config, name="logger"), CONTEXT)
    assert other.files["cluster-nodes.json"] == spec.files["cluster-nodes.json"]
    assert '"manager"' not in spec.files["node-config.json"]
    smaller = engine.launch(NodeConfig(name="alone"), CONTEXT)
    assert smaller.files["cluster-nodes.json"] == "{}"


def test_our_script_is_shipped() -> None:
    assert "Management::Node::API::notify_node_hello" in Path(management_script()).read_text()


def test_the_agents_address() -> None:
    assert agent_link({}) is None
    assert agent_link({AGENT_LINK: "unix:/run/agent.sock"}) == ("unix:/run/agent.sock", 0)
    assert agent_link({AGENT_LINK: "127.0.0.1:2152"}) == ("127.0.0.1", 2152)
    assert agent_link({AGENT_LINK: "[::1]:2152"}) == ("::1", 2152)
    for bad in ("unix:", "nowhere", ":1", "host:0", "host:65536", "host:x"):
        with pytest.raises(SettingsError, match=AGENT_LINK):
            agent_link({AGENT_LINK: bad})


def test_the_websocket_port() -> None:
    assert websocket_port({}) is None
    assert websocket_port({WEBSOCKET_PORT: "7700"}) == 7700
    with pytest.raises(SettingsError, match=WEBSOCKET_PORT):
        websocket_port({WEBSOCKET_PORT: "70000"})


def test_nodes_that_write_logs_rotate_them_into_the_spool() -> None:
    engine = ZeekEngine(INSTALLATION, ZeekOptions(rotation_interval=60))
    scripts = {
        name: engine.launch(NodeConfig(name=name, cluster=CLUSTER), CONTEXT).files["zeekfleet-launch.zeek"]
        for name in ("logger", "worker")
    }
    assert 'redef Log::default_rotation_dir = "/spool/log-queue";' in scripts["logger"]
    assert "redef Log::default_rotation_interval = 60.000000 secs;" in scripts["logger"]
    assert "default_rotation_dir" not in scripts["worker"]


def test_a_logger_that_could_not_rotate_is_refused(tmp_path: Path) -> None:
    """A rename cannot cross file systems, and a Zeek that cannot rotate a crashed logger's logs does not start."""
    spool = Path("/proc/self")  # surely another file system
    context = msgspec.structs.replace(CONTEXT, directory=str(tmp_path / "logger"), spool_directory=str(spool))
    logger = NodeConfig(name="logger", cluster=CLUSTER)
    with pytest.raises(LaunchError, match="on different file systems"):
        ZeekEngine(INSTALLATION).launch(logger, context)
    ZeekEngine(INSTALLATION, ZeekOptions(rotation_interval=0)).launch(logger, context)
    ZeekEngine(INSTALLATION).launch(NodeConfig(name="worker", cluster=CLUSTER), context)


def test_a_directory_with_an_equals_sign_is_refused() -> None:
    context = msgspec.structs.replace(CONTEXT, directory="/state/a=b/nodes/worker")
    with pytest.raises(LaunchError, match="an equals sign in the path /state/a=b/nodes/worker, which Zeek would take"):
        ZeekEngine(INSTALLATION).launch(NodeConfig(name="worker", cluster=CLUSTER), context)
