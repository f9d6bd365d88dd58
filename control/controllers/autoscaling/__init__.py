"""Horizontal pod autoscaling: how many replicas metrics ask for, how fast to follow them, and the loop around that."""
