"""Moves hosts through a play: one state machine a host, a strategy that decides who runs when.

Invariant: what a host does next is decided by its `Cursor` alone; strategies only choose the order.
"""
