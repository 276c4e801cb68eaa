"""Builds the archiver of rotated logs, which an agent runs, from the settings."""

from __future__ import annotations

from pathlib import Path

from zeekfleet.archive.archiver import Alarm, ArchiveOptions, Archiver
from zeekfleet.archive.clearing import Limits
from zeekfleet.archive.compression import Compression
from zeekfleet.model.launch import Account
from zeekfleet.model.names import LOG_QUEUE
from zeekfleet.settings import Settings


def archiver(settings: Settings, alarm: Alarm, user: Account | None = None) -> Archiver | None:
    """The archiver of this host's spool; None if archiving is disabled.

    Args:
        settings: of the sections common and archive.
        alarm: called with each problem.
        user: whom nodes run as, if not as we do.

    Raises:
        SettingsError: the settings cannot be met on this host.
    """
    own = settings.archive
    if not own.enabled:
        return None
    options = ArchiveOptions(
        queue=Path(settings.common.spool_dir) / LOG_QUEUE,
        logs=Path(own.directory),
        compression=Compression(own.compression),
        limits=Limits(own.expire_days, own.disk_watermark),
        command=own.command,
        interval=own.interval,
        user=user,
    )
    return Archiver(options, alarm)
