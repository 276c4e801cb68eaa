"""A simulated node: a program that stands in for a Zeek cluster node, and says so.

It has the whole Node API, a small table of globals, a Prometheus port, output on
both streams and a management log. It does not look at traffic. ``behaviour`` lists
the environment variables that make it misbehave.

A cluster for tests may have hundreds of simulated nodes on one host, so a node must say hello
soon after its start. Importing asyncio, msgspec and the event codec would make its start three
times as long. So until its hello a node imports none of them, and neither ``logging``,
``pathlib`` nor ``typing``: it has its own event loop (``loop``), and builds its few events by
hand (``events``). One test checks the imports, another compares the events with the codec's.
Modules that only requests need are imported when the first request comes.

``engine``, ``links`` and ``files`` are for the supervisor and the agent; a node imports none of them.
"""
