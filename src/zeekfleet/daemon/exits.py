"""Logs the ends of processes on the foreground process's stderr, each with the time of the next start."""

from __future__ import annotations

import logging

from zeekfleet.lifecycle.wording import next_start_text, seconds
from zeekfleet.supervisor import NodeExit

logger = logging.getLogger(__name__)


def log_exit(exit_: NodeExit) -> None:
    """Log one line for an end, and a second one if a crash loop begins with it."""
    facts: dict[str, object] = {"node": exit_.node, "pid": exit_.pid, "exit": exit_.signal_name or exit_.code}
    if exit_.pid is not None:
        facts["uptime"] = round(exit_.uptime, 3)
    if exit_.requested:
        logger.info("node '%s' %s", exit_.node, exit_, extra=facts)
        return
    facts |= {"kind": "crash", "attempt": exit_.attempt, "next_start": exit_.revive_in}
    report = ""
    if exit_.crash_report:
        facts["report"] = exit_.crash_report
        report = f"; report in {exit_.crash_report}"
    next_ = next_start_text(exit_.revive_in, exit_.failed, exit_.attempt, exit_.window)
    logger.warning("node '%s' %s; %s%s", exit_.node, exit_, next_, report, extra=facts)
    if exit_.newly_failed:
        facts["kind"] = "crash loop"
        logger.error("node '%s' %s", exit_.node, _loop(exit_), extra=facts)


def _loop(exit_: NodeExit) -> str:
    then = "is not started again" if exit_.revive_in is None else f"is tried again in {seconds(exit_.revive_in)}"
    if exit_.attempt <= 1 or exit_.pid is None:
        return f"keeps failing: it {then}"
    return f"is in a crash loop: it ended {exit_.attempt} times in {seconds(exit_.window)}, and {then}"
