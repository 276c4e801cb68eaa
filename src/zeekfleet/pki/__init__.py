"""Certificates of our own: an authority in a directory, and what it issues, renews and revokes.

``building``, ``reading``, ``hosts`` and ``records`` are pure. ``directory`` keeps the authority's files, and
``handout`` writes those for others. The library ``cryptography`` takes 11 MB and a thirtieth of a second, so import
these modules within the functions that make certificates. To whom a peer's certificate belongs,
``security.identity`` tells without it.
"""
