"""Variables for values for which the protocol's records have no field."""

from __future__ import annotations

from pathlib import PurePath

import pytest

from zeekfleet.agent.plan import node_configs
from zeekfleet.errors import ConfigurationError, SettingsError
from zeekfleet.model.supervisor import NodeConfig
from zeekfleet.model.variables import HUB_PORTS, PCAP_FILE
from zeekfleet.planning.cluster_variables import hub_ports_of, read_hub_ports, write_hub_ports
from zeekfleet.planning.ini import parse_configuration
from zeekfleet.planning.ini_writer import format_configuration

INI = "[manager]\nrole = manager\n[w]\nrole = worker\npcap_file = /traces/a b.pcap\nenv = A=1\n"


def test_a_trace_in_a_cluster_file_reaches_the_node() -> None:
    parsed = parse_configuration(INI, source="f", hostname="h")
    assert parsed.warnings == ()
    (worker,) = (node for node in parsed.configuration.nodes if node.name == "w")
    assert worker.env == {"A": "1", PCAP_FILE: "/traces/a b.pcap"}
    again = parse_configuration(format_configuration(parsed.configuration), source="f", hostname="h")
    assert {node.name: node.env for node in again.configuration.nodes}["w"] == worker.env
    launched = node_configs(parsed.configuration, "agent-h", PurePath("/s"), {})
    assert launched["w"].pcap_file == "/traces/a b.pcap"
    assert launched["manager"].pcap_file is None
    # All nodes must know that there is a trace: logs then come faster than with live traffic.
    assert launched["manager"].cluster["w"].pcap_file is not None
    assert launched["manager"].cluster["manager"].pcap_file is None


def test_a_node_has_a_trace_or_an_interface() -> None:
    with pytest.raises(ConfigurationError, match=r"pcap_file.*interface"):
        parse_configuration(INI + "interface = lo\n", source="f", hostname="h")


def test_ports_of_the_hub() -> None:
    assert read_hub_ports({}) is None
    assert read_hub_ports({HUB_PORTS: write_hub_ports((5555, 5556))}) == (5555, 5556)
    for wrong in ("1", "1,2,3", "0,1", "a,b", "70000,1"):
        with pytest.raises(SettingsError):
            read_hub_ports({HUB_PORTS: wrong})
    configs = (NodeConfig(name="a", env={HUB_PORTS: "x"}), NodeConfig(name="b", env={HUB_PORTS: "1,2"}))
    assert hub_ports_of(configs) == (1, 2)
    assert hub_ports_of(()) is None
