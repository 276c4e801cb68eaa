"""Pure functions on cluster configurations; no I/O.

``validate`` finds errors, ``review`` finds probable mistakes, ``ports`` assigns
missing ports, ``ini`` and ``ini_writer`` read and write the configuration file,
``layout`` makes a real Zeek node's files and command line, ``zeek_versions`` tells
what older Zeeks cannot do, ``deadlines`` how long a deployment may take.
"""
