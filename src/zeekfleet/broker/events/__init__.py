"""The events of the protocol, declared once: name, fields, and the response that answers it.

One module a family; all events of the second generation's names, and the few
that exist in the first generation only. :mod:`zeekfleet.broker.generations`
gives both generations' names.
"""
