"""The pod network: addresses, bridge and veth, routes between nodes."""
