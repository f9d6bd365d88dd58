"""Deployments: rolling out templates as ReplicaSets.

`history` names ReplicaSets and their revisions, `rolling` computes sizes, `status` computes conditions, all three
pure; `controller` is the shell.
"""
