"""The verbs. Each module has one: its request, how the answer is read, the JSON document, and what people see.

A method of the verb's class builds the request, reads the answer and returns a record. That has ``ok`` (was everything
done that was asked for?) and ``document()``, the JSON that zeek-client prints. ``view`` makes tables and notes of it.
"""
