"""What the owners of certificates may do with a stock zeek-client: viewers, operators and admins."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fleet import Answer, Fleet, ini, node

ROLES = ("viewer", "operator", "admin")
HERE = ini(["a1"], {"m": node("a1", "manager")})


def pki(*words: str) -> None:
    subprocess.run((sys.executable, "-m", "zeekfleet", "pki", *words), check=True, capture_output=True)


class Certified:
    """A controller that asks clients for certificates, an agent, and one client of each role."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.files = fleet.root / "pki"
        pki("init", "--directory", str(self.files))
        pki("issue", "controller", "controller", "--directory", str(self.files))
        for role in ROLES:
            pki("issue", "client", f"our-{role}", "--role", role, "--directory", str(self.files))
        fleet.start_controller(
            tls_certificate=self._file("controller", "pem"),
            tls_key=self._file("controller", "key"),
            tls_ca=self.files / "ca.pem",
        )

    def _file(self, name: str, suffix: str) -> Path:
        return next(file for file in self.files.rglob(f"*{name}*.{suffix}") if "ca." not in file.name)

    def client(self, role: str, *words: str, text: str | None = None) -> Answer:
        ours = (
            "ssl.enable=true",
            f"ssl.cafile={self.files / 'ca.pem'}",
            f"ssl.certificate={self._file(f'our-{role}', 'pem')}",
            f"ssl.keyfile={self._file(f'our-{role}', 'key')}",
        )
        return self.fleet.client(*words, text=text, settings=ours)

    def records(self) -> list[dict[str, object]]:
        state = str(self.fleet.root / "c")
        out = self.fleet.zeekfleet("audit", "--state-dir", state, "--json", "-n", "1000").out
        return [json.loads(line) for line in out.splitlines()]


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Certified]:
    fleet = Fleet(tmp_path_factory.mktemp("f"))
    try:
        yield Certified(fleet)
    finally:
        fleet.stop()


def test_each_role_may_do_what_the_table_says(certified: Certified) -> None:
    for role in ROLES:
        answer = certified.client(role, "get-instances")
        assert (answer.code, answer.json) == (0, {}), answer
        staged = certified.client(role, "stage-config", "-", text=HERE)
        told = f"stage_configuration_request is for an admin, and this connection is {_a(role)}'s"
        assert staged.errors == ([] if role == "admin" else [told])
        assert staged.code == (0 if role == "admin" else 1)
        value = certified.client(role, "get-id-value", "x")
        (error,) = [entry["error"] for entry in value.errors]
        refused = f"get_id_value_request is for an operator or an admin, and this connection is {_a(role)}'s"
        assert error == (refused if role == "viewer" else "no cluster deployed")
        assert certified.client(role, "get-config", "--staged").code == (0 if role == "admin" else 1)

    told = [
        (record["who"], record["request"], str(record["outcome"]).partition(":")[0]) for record in certified.records()
    ]
    assert told == [
        ("viewer/our-viewer", "stage_configuration_request", "refused"),
        ("viewer/our-viewer", "get_id_value_request", "refused"),
        ("operator/our-operator", "stage_configuration_request", "refused"),
        ("admin/our-admin", "stage_configuration_request", "asked"),
        ("admin/our-admin", "stage_configuration_request", "done"),
    ]
    log = str(certified.fleet.controller.log) if certified.fleet.controller else ""
    assert "topic_forbidden: stage_configuration_request is for an admin" in log


def _a(role: str) -> str:
    return f"{'an' if role[0] in 'aeiou' else 'a'} {role}"
