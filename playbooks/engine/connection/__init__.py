"""How the engine reaches a host: one SSH connection, one helper process for each user a task runs as.

Invariant: whatever goes wrong leaves here as `Unreachable` with one sentence: which host, why, what to do.
"""
