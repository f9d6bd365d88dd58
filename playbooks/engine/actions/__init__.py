"""What a task does on this machine: alone (debug, set_fact, …) or before and after its module runs on the host.

An action has `run(call)`, and `OPTIONS` where no module of the same name runs on the host.

Invariant: an action reaches hosts only through its `ActionCall`.
"""
