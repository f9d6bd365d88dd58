"""The admission plugins of every server, in their order.

Invariant: the order is the original's (kubeapiserver/options/plugins.go).
"""

from __future__ import annotations

from control.apiserver.admission.pipeline import Plugin


def plugins() -> list[Plugin]:
    """One of each."""
    return []
