"""The stem: a process monitor (a shim). It starts processes, is their parent, and outlives the supervisor above it.

The supervisor can be stopped, killed or upgraded while the stem and all nodes run on. A
stem that is killed is replaced by another one, which finds the processes again. It has
one loop over ``selectors``: no asyncio, no events of the protocol, no knowledge of Zeek.
It runs what a :class:`zeekfleet.model.launch.LaunchSpec` says, and tells what becomes of it.

``server`` the loop · ``connection`` one supervisor's · ``protocol`` the messages on it ·
``table`` all nodes · ``node`` one node's life · ``process`` its process ·
``children`` whose end is awaited · ``ownership`` whose a process is, by ``environment_tag``
and ``rlimit_tag`` · ``launching`` from a specification to a start · ``preparation`` what the
program finds · ``spawn``, ``forked_spawn``, ``spawn_pool`` the start itself · ``resources``
and ``cgroups`` limits · ``records``, ``launches`` what is on disk · ``adoption`` what an
earlier stem has left.
"""
