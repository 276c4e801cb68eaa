"""Requests to a controller: the asynchronous API for programs, and the verbs of the command line.

Importing this package costs nothing; ``zeekfleet.Client`` is the API.

    verbs        a module each: the request, the reading of its answer, its JSON document, and what a person sees
    requests     all of them together
    carrier      how they send requests and hear events
    client       carries requests over asyncio
    blocking     carries them without an event loop, over ``link``
    results      what answers to several verbs have in common
    views, node_cells
                 what views are made of: tables, notes, and how nodes look
    wanted       what should run, beside what does
    news         how a deployment gets on
    node_groups  words that stand for several nodes
    config_file  the cluster configuration file
    settings, tls
                 zeek-client's own settings
"""
