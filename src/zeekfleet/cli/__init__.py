"""The command ``zeekfleet``: one module a verb, with ``add_parser(subparsers)`` and ``run(args)``.

``main`` finds the verb and imports its module alone. What the client verbs
share: ``options`` (arguments), ``session`` (connection and settings),
``messages`` (stderr), ``output`` (stdout: JSON, or tables from ``tables``),
``progress`` (what is shown while a deployment runs).
"""
