"""What runs on the control host: store, API server, scheduler, controllers, cloud controller, and the CLI.

Invariant: the components meet only in the API; only `control.cli` imports everything.
"""
