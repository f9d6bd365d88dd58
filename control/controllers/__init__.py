"""Control loops, one file each, and the manager that runs them under a Lease."""
