"""The stem: a process monitor (a shim). It starts processes, is their parent, and outlives the supervisor above it.

The supervisor can be stopped, killed or upgraded while the stem and all nodes run on. A
stem that is killed is replaced by another one, which finds the processes again. It has
one loop over ``selectors``: no asyncio, no events of the protocol, no knowledge of Zeek.
It runs what a :class:`zeekfleet.model.launch.LaunchSpec` says, and tells what becomes of it.

* ``server``: the loop. ``connection``: the connection of one supervisor. ``protocol``: the messages on it.
* ``table``: all nodes. ``node``: one node's life. ``process``: a node's process.
* ``children``: waits for processes to end. ``ownership``: tells which node a process belongs to, with
  ``environment_tag`` and ``rlimit_tag``.
* ``launching``: makes a start out of a launch specification. ``preparation``: makes the files that the program
  needs. ``spawn``, ``forked_spawn``, ``spawn_pool``: start the process. ``resources``, ``cgroups``: limits.
* ``records``, ``launches``: what is kept on disk. ``adoption``: takes over what an earlier stem has left.
"""
