"""Exec, attach and port-forward on the wire: the two framings, and sessions on top of them."""
