"""The command ``zeekfleet``: a module for each verb, with ``add_parser(subparsers)`` and ``run(args)``.

``main`` finds the verb (``verbs``) and imports only its module. The client verbs
share ``options`` (arguments), ``session`` (connection and settings),
``messages`` (stderr), ``showing`` (stdout: JSON, or views that ``tables`` makes of
the parts in ``output``, as ``layout`` arranges them), ``progress`` (what is shown
while a deployment runs), ``streams`` (standard streams that are closed).
"""
