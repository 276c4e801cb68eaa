"""Reading the cluster configuration that a verb is given."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from zeekfleet.cli.config_file import read_cluster_file
from zeekfleet.cli.messages import Messages
from zeekfleet.errors import ConfigurationError

WORKER = "[w]\ninstance = a\nrole = worker\n"


def test_a_file_without_nodes_is_refused_unless_allowed(tmp_path: Path) -> None:
    file = tmp_path / "c.ini"
    for text in ("", "\ufeff", "# nothing\n", "[instances]\na\n"):
        file.write_text(text)
        with pytest.raises(ConfigurationError, match=r"there is no node in .*c\.ini: deploying it would stop all"):
            read_cluster_file(str(file), Messages())
        assert read_cluster_file(str(file), Messages(), allow_empty=True).nodes == ()


def test_a_file_without_end_is_not_read_to_its_end() -> None:
    with pytest.raises(ConfigurationError, match=r"^cluster configuration /dev/zero is larger than 16 MiB$"):
        read_cluster_file("/dev/zero", Messages())


def test_unknown_keys_are_errors_or_warnings(tmp_path: Path) -> None:
    file = tmp_path / "c.ini"
    file.write_text(WORKER + "interfce = lo\n")
    with pytest.raises(ConfigurationError, match=r"key 'interfce': is unknown \(did you mean 'interface'\?\)"):
        read_cluster_file(str(file), Messages())
    told = io.StringIO()
    read_cluster_file(str(file), Messages(stream=told), lax=True)
    assert "key 'interfce': unknown, ignored (did you mean 'interface'?)" in told.getvalue()


def test_relative_paths_are_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "detect.zeek").touch()
    (tmp_path / "site" / "local.zeek").touch()
    words = "detect.zeek local ./new ../up/x"
    (tmp_path / "site" / "c.ini").write_text(f"\ufeff{WORKER}scripts = {words}\npcap_file = t.pcap\n")
    (tmp_path / "linked").symlink_to("site")
    monkeypatch.chdir(tmp_path / "site")
    for path in ("c.ini", "../site/c.ini", f"{tmp_path}/linked/c.ini"):
        node = read_cluster_file(path, Messages()).nodes[0]
        assert node.scripts == (f"{tmp_path}/site/detect.zeek", f"{tmp_path}/site/new", f"{tmp_path}/up/x", "local")
        assert node.env == {"ZEEKFLEET_PCAP_FILE": f"{tmp_path}/site/t.pcap"}
