"""The entry: a deliberate bug must be in before any component is read, so nothing else is imported here.

Invariant: without --bug the components are read as they are.
"""

import sys

from simulation import deliberate

if __name__ == "__main__":
    found = deliberate.named_in(sys.argv)
    if found:
        deliberate.put_in(found)
    from simulation.command import main

    sys.exit(main())
