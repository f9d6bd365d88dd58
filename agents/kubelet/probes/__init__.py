"""Probes and lifecycle hooks: what is asked of a container, and what its answers mean."""
