"""A stand-in for a Zeek cluster node, honest about being one.

It has the whole Node API, a small table of globals, a Prometheus port, output on
both streams and a management log, and it looks at no traffic. ``behaviour`` lists
the variables by which it misbehaves on request.

A cluster for tests may have hundreds of these on one host, so what counts is the time
until a node says hello. Importing asyncio, msgspec and the event codec would make a start
three times as long. So until its hello a node imports none of them, nor ``logging``,
``pathlib`` or ``typing``: it has a loop of its own (``loop``) and writes its few events by
hand (``events``). One test keeps it so, another compares the events with the codec's.
What is needed only to answer a request is imported with the first request.

``engine``, ``links`` and ``files`` are for the supervisor and the agent; a node imports none of them.
"""
