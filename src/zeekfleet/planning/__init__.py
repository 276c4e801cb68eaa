"""What a cluster configuration means, worked out without I/O.

``validate`` (is it sound), ``ports`` (fill in what was left open), ``ini`` (its
file), ``ini_values`` (what stands in that file's places), ``layout`` (how a real
Zeek node is launched from it), ``zeek_versions`` (what which Zeek can do),
``deadlines`` (how long its deployment may take).
"""
