"""Talking to a controller: the asynchronous API for programs, and what the command line's verbs are made of.

Importing this package costs nothing; ``zeekfleet.Client`` is the API.

    requests     every verb: the request, and the reading of its answer
    client       carries requests over asyncio
    blocking     carries them without an event loop, over ``link``
    results, histories, dispatched, releases, status, wanted
                 what comes back, typed, with zeek-client's JSON documents
    news         how a deployment gets on
    rolling      restarting a few nodes at a time
    node_groups  words that stand for several nodes
    config_file  the cluster configuration file
    settings, tls
                 zeek-client's own settings
"""
