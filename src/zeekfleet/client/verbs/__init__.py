"""The verbs: in one module what is asked, how the answer is read, its JSON document, and what a person is shown of it.

A method of a verb's class builds the request, reads the answer and returns it typed. What it returns has ``ok`` (is all
that was asked for done?) and ``document()``, zeek-client's JSON for it; ``view`` makes tables and notes of it.
"""
