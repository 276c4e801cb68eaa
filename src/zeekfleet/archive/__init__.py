"""Archives rotated logs: moves them from the spool's ``log-queue`` to a directory for each day, compressed.

* ``archiver``: the task that an agent runs
* ``watch``: tells of new files in the queue · ``writer``: archives one file, safe against crashes
* ``clearing``: removes old logs · ``compression``: gzip, zstd or none
* ``command``: runs another program instead of all this
* ``names`` and ``expiry`` are pure: file names, and which logs to remove
"""
