"""Nodes: a kubelet brings the status along when it registers.

Invariant: `spec.podCIDRs` once set is not changed by an update that leaves it out.
Source: pkg/registry/core/node/strategy.go.
"""

from __future__ import annotations

from control.apiserver.strategies.base import Strategy


class NodeStrategy(Strategy):
    """Nodes."""

    keeps_status_on_create = True
