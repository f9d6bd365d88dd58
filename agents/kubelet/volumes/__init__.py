"""Volumes: what a pod's containers see of the API and of the node's disk."""
