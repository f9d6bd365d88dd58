"""The kernel's links, addresses, routes and neighbours: values, messages that make them so, and answers read."""
