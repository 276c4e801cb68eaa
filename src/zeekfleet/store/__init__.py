"""The controller's durable state.

``interface`` says what is kept; ``memory`` and ``sqlite`` keep it; ``encoding`` turns
configurations into bytes and back.
"""
