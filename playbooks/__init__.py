"""What to do to the machines: the engine, its modules, and the cluster's own playbooks and roles.

Invariant: knows hosts only through `inventory`, and Wherry's other parts only as the command it installs.
"""
