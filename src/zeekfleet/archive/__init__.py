"""Rotated logs: from the spool's ``log-queue`` to a directory for each day, compressed.

``names`` and ``expiry`` are pure: what a file is called, which files have to go ·
``compression`` · ``writer`` puts one file where it belongs, whatever happens
meanwhile · ``clearing`` removes old ones · ``watch`` tells of new ones ·
``command`` runs another program in place of all that · ``archiver`` is the task
that an agent runs.
"""
