"""Checks a configuration without a controller, for ``zeekfleet check``: only the instances on this host are checked."""

from __future__ import annotations

import asyncio
import socket

from zeekfleet.cli.daemon_options import SECTIONS
from zeekfleet.client.verbs.check import Checked, Finding
from zeekfleet.daemon.checking import check_here
from zeekfleet.model.management import Configuration, Instance
from zeekfleet.model.types import UNSPECIFIED
from zeekfleet.planning.checks import Problem
from zeekfleet.resolution import resolve
from zeekfleet.settings import Settings

ELSEWHERE = "not checked: without a controller, only this host can be"


def check(configuration: Configuration) -> Checked:
    """Check the instances on this host as an agent with default settings would. Other instances are not checked.

    Raises:
        ZeekfleetError: the settings are wrong, or there is no such engine here.
    """
    settings = resolve(SECTIONS["agent"], {}).settings
    names = sorted(instance.name for instance in configuration.instances)
    here = {one.name for one in configuration.instances if _is_here(one, settings)}
    findings: list[Finding] = []
    for name in sorted(here):
        problems = asyncio.run(check_here(configuration, name, settings))
        findings += (_finding(name, problem) for problem in problems)
    wrong = {finding.instance for finding in findings}
    return Checked(
        tuple(findings),
        tuple(sorted(here - wrong)),
        {name: ELSEWHERE for name in names if name not in here},
    )


def _finding(instance: str, problem: Problem) -> Finding:
    text = str(problem) if problem.nodes else f"instance '{instance}': {problem}"
    return Finding(text, instance, problem.nodes)


def _is_here(instance: Instance, settings: Settings) -> bool:
    """Whether an instance has the name of this host's agent, or an address of this host."""
    if instance.name == settings.agent.name:
        return True
    if instance.host == UNSPECIFIED:
        return False
    text = str(instance.host)
    family = socket.AF_INET6 if ":" in text else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((text, 0))  # the kernel refuses addresses of other hosts
        except OSError:
            return False
    return True
