"""A stand-in for a Zeek cluster node, honest about being one.

It has the whole Node API, a small table of globals, a Prometheus port, output on
both streams and a management log, and it looks at no traffic. ``behaviour`` lists
the variables by which it misbehaves on request.
"""
