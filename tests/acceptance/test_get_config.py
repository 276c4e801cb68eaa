"""get-config: staged and deployed, INI and JSON."""

from __future__ import annotations

import configparser

from fleet import Fleet, ini, node

STAGED = ini(
    ["a1", "b9 = 127.0.0.1:4711"],
    {
        "manager": node("a1", "manager", port=4000, scripts="local other/script.zeek"),
        "w1": node("b9", "worker", interface="lo", cpu_affinity=0, env='COLOUR=green "NAME=two words"'),
    },
)


def parsed(text: str) -> dict[str, dict[str, str | None]]:
    parser = configparser.ConfigParser(allow_no_value=True)
    parser.read_string(text)
    return {section: dict(parser[section]) for section in parser.sections()}


def test_without_any_configuration(blank: Fleet) -> None:
    for words, error in (
        (["--staged"], "no staged configuration available"),
        (["--deployed"], "no deployed configuration available"),
        ([], "no staged configuration available"),
        (["--as-json"], "no staged configuration available"),
    ):
        answer = blank.client("get-config", *words)
        assert (answer.code, answer.out) == (1, "")
        assert error in answer.err


def test_a_staged_configuration_comes_back_as_it_was_sent(lone: Fleet) -> None:
    staged = lone.client("stage-config", "-", text=STAGED)
    assert staged.code == 0, staged
    answer = lone.client("get-config", "--staged")
    assert answer.code == 0
    expected = parsed(STAGED)
    expected["manager"]["role"], expected["w1"]["role"] = "MANAGER", "WORKER"
    expected["w1"]["env"] = 'COLOUR=green NAME="two words"'
    assert parsed(answer.out) == expected
    assert lone.client("get-config").out == answer.out
    assert lone.client("get-config", "--deployed").code == 1

    as_json = lone.client("get-config", "--staged", "--as-json")
    assert as_json.code == 0
    nothing = dict.fromkeys(("cpu_affinity", "env", "interface", "metrics_port", "options", "port", "scripts"))
    assert as_json.json == {
        "id": staged.results["id"],
        "instances": [{"name": "a1"}, {"name": "b9", "host": "127.0.0.1", "port": 4711}],
        "nodes": [
            {
                **nothing,
                "name": "manager",
                "instance": "a1",
                "role": "MANAGER",
                "port": 4000,
                "scripts": ["local", "other/script.zeek"],
                "env": {},
            },
            {
                **nothing,
                "name": "w1",
                "instance": "b9",
                "role": "WORKER",
                "interface": "lo",
                "cpu_affinity": 0,
                "env": {"COLOUR": "green", "NAME": "two words"},
            },
        ],
    }


def test_into_a_file_that_can_be_staged_again(lone: Fleet) -> None:
    assert lone.client("stage-config", "-", text=STAGED).code == 0
    file = lone.root / "saved.ini"
    answer = lone.client("get-config", "-f", str(file))
    assert (answer.code, answer.out) == (0, "")
    before = parsed(file.read_text())
    assert lone.client("stage-config", str(file)).code == 0
    assert parsed(lone.client("get-config").out) == before


def test_deployed_has_addresses_and_ports_filled_in(fleet: Fleet) -> None:
    configuration = ini(["a1"], {"manager": node("a1", "manager"), "w": node("a1", "worker", interface="lo")})
    deployed = fleet.deploy(configuration)
    answer = fleet.client("get-config", "--deployed")
    assert answer.code == 0
    assert parsed(answer.out) == {
        "instances": {"a1": None},
        "manager": {
            "instance": "a1",
            "role": "MANAGER",
            "port": str(fleet.first_port),
            "metrics_port": str(fleet.first_metrics_port),
        },
        "w": {
            "instance": "a1",
            "role": "WORKER",
            "interface": "lo",
            "metrics_port": str(fleet.first_metrics_port + 1),
        },
    }
    as_json = fleet.client("get-config", "--deployed", "--as-json").json
    assert as_json["id"] == deployed.results["id"]
    assert as_json["instances"] == [{"name": "a1", "host": "127.0.0.1"}]
    # The staged one stays as it was sent.
    assert parsed(fleet.client("get-config", "--staged").out)["manager"] == {"instance": "a1", "role": "MANAGER"}


def test_staged_and_deployed_differ_until_the_deploy(fleet: Fleet) -> None:
    old = fleet.deploy(ini(["a1"], {"old": node("a1", "manager")})).results["id"]
    new = fleet.client("stage-config", "-", text=ini(["a1"], {"new": node("a1", "manager")})).results["id"]
    assert fleet.client("get-config", "--deployed", "--as-json").json["id"] == old
    assert fleet.client("get-config", "--staged", "--as-json").json["id"] == new
    assert fleet.client("deploy").code == 0
    assert fleet.client("get-config", "--deployed", "--as-json").json["id"] == new
