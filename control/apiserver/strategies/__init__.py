"""A strategy for each resource; those without a file of their own are described by a few facts.

Invariant: strategies hold no state of objects; what they allocate is rebuilt from the store.
"""

from __future__ import annotations
