"""The directory in which an agent or a controller works and keeps its log."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from zeekfleet.daemon.directories import held, node_directory
from zeekfleet.logs.handlers import ManagementLog
from zeekfleet.model.enums import Role
from zeekfleet.settings import CommonSettings


@contextlib.contextmanager
def workplace(common: CommonSettings, name: str, role: Role) -> Iterator[Path]:
    """Work in the process' own directory, and log there while the context lasts.

    Args:
        common: the settings of that section.
        name: of the agent or controller.
        role: which of the two it is.

    Raises:
        DirectoryHeldError: another daemon uses the directory.
        StateDirectoryError: it cannot be used.
    """
    with held(node_directory(common, name), Path(common.state_dir)) as directory:
        os.chdir(directory)
        log = ManagementLog(
            directory,
            name,
            role,
            common.management_log_format,
            limit=common.output_limit,
            kept=common.output_kept,
        )
        logging.getLogger().addHandler(log)
        try:
            yield directory
        finally:
            logging.getLogger().removeHandler(log)
            log.close()
