"""Services on the node: one nftables table, programmed by netlink."""
