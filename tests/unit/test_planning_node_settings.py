"""Settings of one node, as variables and as keys of an INI file."""

from __future__ import annotations

import pytest

from zeekfleet.daemon.launch_defaults import LaunchDefaults
from zeekfleet.errors import ConfigurationError, LaunchError
from zeekfleet.model.enums import ClusterRole, State
from zeekfleet.model.launch import LaunchContext, Resources, RevivalSettings
from zeekfleet.model.management import Configuration, Instance, Node
from zeekfleet.model.supervisor import NodeConfig
from zeekfleet.planning import node_settings
from zeekfleet.planning.ini import parse_configuration
from zeekfleet.planning.ini_writer import format_configuration
from zeekfleet.planning.validate import validate
from zeekfleet.supervisor import CommandEngine

CONTEXT = LaunchContext("/d", "/d/stdout", "/d/stderr", "/s", "/s/spool", False, {"PATH": "/bin"})
EVERY_KEY = {
    "grace": ("2.5", 2.5),
    "grace_ceiling": ("60", 60.0),
    "cpus": ("0-2, 5", (0, 1, 2, 5)),
    "nice": ("-5", -5),
    "memory_limit": ("2G", 2**31),
    "open_files": ("4096", 4096),
    "core_limit": ("512 MiB", 2**29),
    "cgroup": ("yes", True),
    "revival": ("no", False),
    "revival_initial_delay": ("0", 0.0),
    "revival_factor": ("3", 3.0),
    "revival_max_delay": ("10", 10.0),
    "revival_jitter": ("0.2", 0.2),
    "revival_stable_after": ("5", 5.0),
    "revival_loop_limit": ("9", 9),
    "revival_loop_window": ("60", 60.0),
    "revival_retry_delay": ("0", 0.0),
}


def test_every_key_is_read() -> None:
    assert EVERY_KEY.keys() == node_settings.KEYS.keys()
    found = node_settings.read({node_settings.variable(key): text for key, (text, _) in EVERY_KEY.items()})
    values = {key: value for key, (_, value) in EVERY_KEY.items()}
    assert (found.grace, found.grace_ceiling) == (values["grace"], values["grace_ceiling"])
    assert found.revival_from(RevivalSettings()) == RevivalSettings(
        enabled=False, initial_delay=0.0, factor=3.0, max_delay=10.0, jitter=0.2, stable_after=5.0, loop_limit=9,
        loop_window=60.0, retry_delay=0.0,
    )  # fmt: skip
    resources = Resources(cpus=(0, 1, 2, 5), nice=-5, memory=2**31, open_files=4096, core=2**29, cgroup=True)
    assert found.resources_from(Resources()) == resources


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("grace", "0"), ("grace", "nan"), ("grace", "1e9"), ("cpus", ""), ("cpus", "3-1"), ("cpus", "0-99999999"),
        ("cpus", "a"), ("cpus", "1,"), ("nice", "20"), ("nice", "1.5"), ("memory_limit", "lots"), ("memory_limit", "0"),
        ("memory_limit", "1"), ("memory_limit", "15M"),
        ("memory_limit", "9999999999T"), ("memory_limit", "-1"), ("open_files", "3"), ("cgroup", "perhaps"),
        ("revival", ""), ("revival_factor", "0.5"), ("revival_loop_limit", "0"), ("revival_max_delay", "inf"),
    ],
)  # fmt: skip
def test_invalid_values_are_named(key: str, text: str) -> None:
    name = node_settings.variable(key)
    with pytest.raises(ValueError, match=f"^{name}: '.*' is wrong, expected .+"):
        node_settings.read({name: text})
    node = Node("w", "i", ClusterRole.WORKER, State.RUNNING, env={name: text})
    (error,) = validate(Configuration("c", (Instance("i"),), (node,)), controller_port=None, auto_assign_ports=True)
    assert error.startswith(f"node 'w', variable {name}: '{text}' is wrong, expected ")


def test_keys_of_a_file_become_variables_and_are_written_as_such() -> None:
    text = "[instances]\ni\n\n[w]\ninstance = i\nrole = worker\ncpus = 1-2\nmemory_limit = 1G\n"
    text += "revival = no\nenv = A=b\n"
    parsed = parse_configuration(text, source="c.ini", hostname="h")
    assert parsed.warnings == ()
    (node,) = parsed.configuration.nodes
    wanted = {"A": "b", "ZEEKFLEET_CPUS": "1-2", "ZEEKFLEET_MEMORY_LIMIT": "1G", "ZEEKFLEET_REVIVAL": "no"}
    assert node.env == wanted
    again = parse_configuration(format_configuration(parsed.configuration), source="c.ini", hostname="h")
    assert again.configuration.nodes == (node,)


def test_a_wrong_value_in_a_file_is_reported_with_its_place() -> None:
    text = "[instances]\ni\n\n[w]\ninstance = i\nrole = worker\nnice = 99\n"
    with pytest.raises(ConfigurationError, match=r"c.ini: section \[w\], key 'nice': '99' is wrong, expected"):
        parse_configuration(text, source="c.ini", hostname="h")


def test_a_nodes_own_setting_overrides_the_general_one() -> None:
    engine = LaunchDefaults(
        CommandEngine(("true",)), 7.0, RevivalSettings(factor=4.0), Resources(nice=3, open_files=100)
    )
    plain = engine.launch(NodeConfig("a"), CONTEXT)
    assert (plain.grace, plain.revival.factor, plain.resources) == (7.0, 4.0, Resources(nice=3, open_files=100))
    env = {"ZEEKFLEET_NICE": "0", "ZEEKFLEET_GRACE": "1", "ZEEKFLEET_REVIVAL_MAX_DELAY": "9"}
    own = engine.launch(NodeConfig("a", env=env), CONTEXT)
    assert own.resources == Resources(nice=0, open_files=100)
    assert (own.grace, own.revival) == (1.0, RevivalSettings(factor=4.0, max_delay=9.0))
    writer = LaunchDefaults(CommandEngine(("true",), grace_ceiling=300.0), grace_ceiling=60.0)
    assert writer.launch(NodeConfig("a"), CONTEXT).grace_ceiling == 60.0
    assert engine.launch(NodeConfig("a", env={"ZEEKFLEET_GRACE_CEILING": "20"}), CONTEXT).grace_ceiling == 20.0
    assert (
        LaunchDefaults(CommandEngine(("true",)), grace_ceiling=60.0).launch(NodeConfig("a"), CONTEXT).grace_ceiling
        == 0.0
    )
    with pytest.raises(LaunchError, match="ZEEKFLEET_NICE: 'x' is wrong"):
        engine.launch(NodeConfig("a", env={"ZEEKFLEET_NICE": "x"}), CONTEXT)


def test_the_cpus_that_a_node_needs() -> None:
    assert node_settings.cpus_of(NodeConfig("a")) == frozenset()
    assert node_settings.cpus_of(NodeConfig("a", env={"ZEEKFLEET_CPUS": "2,4-5"})) == {2, 4, 5}
    assert node_settings.cpus_of(NodeConfig("a", cpu_affinity=1, env={"ZEEKFLEET_CPUS": "2"})) == {1}
    assert node_settings.cpus_of(NodeConfig("a", env={"ZEEKFLEET_CPUS": "x"})) == frozenset()
