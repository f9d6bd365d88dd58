"""Tables of nftables: rulesets as values, their netlink encoding, and the loop that makes the kernel agree."""
