"""The kernel's table of network policies of an address family, changed in place from one content to the next.

Invariant: there is a table exactly while there are policies.
"""

from __future__ import annotations

from agents.network.nftables.table import Difference, NftTable
from agents.network.nftables.values import Family, Ruleset, changes
from agents.network.policies import TABLE


class PolicyTable:
    """One task at a time; every call raises NetlinkError if the kernel refuses, and the next one starts afresh."""

    def __init__(self, family: Family = Family.IP) -> None:
        self.family = family
        self.table = NftTable(TABLE, family)
        # None: what is there, perhaps of a former process, has to be read.
        self._present: Ruleset | None = None

    def close(self) -> None:
        """Close the socket; the table stays."""
        self.table.close()

    def apply(self, wanted: Ruleset) -> Difference:
        """Make the table so; what was different from what the last call left."""
        before, self._present = self._present, None
        if not wanted.chains:
            found = Difference([])
            if before is None or before.chains:
                self.table.remove()
        elif before is None or not before.chains:
            found = self.table.reconcile(wanted)
        else:
            found = self.table.replace(*changes(before, wanted))
        self._present = wanted
        return found

    def repair(self) -> Difference:
        """Undo what others did to the table since the last call."""
        wanted = self._present
        if wanted is None or not wanted.chains or self.table.unchanged():
            return Difference([])
        self._present = None
        return self.apply(wanted)
