"""The annotations by which pods named seccomp profiles before fields did: no runtime goes by them, rules judge them.

Invariant: values.
"""

from __future__ import annotations

SECCOMP_OF_POD = "seccomp.security.alpha.kubernetes.io/pod"
SECCOMP_OF_CONTAINER = "container.seccomp.security.alpha.kubernetes.io/"
"""Followed by a container's name."""
