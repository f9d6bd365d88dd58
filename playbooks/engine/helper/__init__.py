"""The far side: one Python process a host and user that executes tasks sent to it as messages.

Invariant: standard library only, Python 3.8 and later; nothing here imports the engine's other parts.
"""
