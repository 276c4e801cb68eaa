"""The stem: the smallest program that can own processes, and outlives whoever commands it.

One loop over ``selectors``, no asyncio, no events of the protocol, no knowledge of Zeek:
it runs :class:`zeekfleet.model.launch.LaunchSpec` and tells what became of them.

``protocol`` the messages on its socket · ``server`` the loop · ``connection`` one commander ·
``table`` all nodes · ``node`` one node's life · ``spawn`` what its process finds ·
``records`` what is on disk · ``timers``, ``procfs``, ``sockets`` small tools.
"""
