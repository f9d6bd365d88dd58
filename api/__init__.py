"""The language everyone speaks: objects, errors, selectors, patches, the client and its caches.

Invariant: nothing here imports `control`, `agents`, `inventory` or `playbooks`.
"""
