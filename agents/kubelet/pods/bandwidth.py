"""How much a pod may take from the network and send: the annotations that the original's network plugins read.

Invariant: pure; a value that is no amount is an error in words, never no limit.
Source: pkg/util/bandwidth/utils.go.
"""

from __future__ import annotations

from agents.network.interface import Bandwidth, NetworkError
from api import quantities
from api.objects import Object, annotations_of

_LEAST, _MOST = 10**3, 10**15


def bandwidth(pod: Object) -> Bandwidth:
    """The limits of a pod. Raises NetworkError for one that is no amount, or out of range."""
    return Bandwidth(_amount(pod, "ingress"), _amount(pod, "egress"))


def _amount(pod: Object, direction: str) -> int:
    name = f"kubernetes.io/{direction}-bandwidth"
    text = annotations_of(pod).get(name)
    if text is None:
        return 0
    try:
        amount = quantities.parse(text).value()
    except ValueError as error:
        raise NetworkError(f"annotation {name}: {error}") from error
    if amount < _LEAST:
        raise NetworkError(f"annotation {name}: resource is unreasonably small (< 1kbit)")
    if amount > _MOST:
        raise NetworkError(f"annotation {name}: resource is unreasonably large (> 1Pbit)")
    return amount
