"""The events of the protocol. Each is declared once, with its name and fields; a request also with its response.

Each module holds one family. Events have the names of the second generation,
except for the few that exist only in the first. :mod:`zeekfleet.broker.generations`
finds all of them, and translates names.
"""
