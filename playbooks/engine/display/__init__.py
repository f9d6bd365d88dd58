"""What a run shows: lines for people, JSON events for programs, the recap.

Invariant: a display only listens; it changes nothing about the run.
"""
