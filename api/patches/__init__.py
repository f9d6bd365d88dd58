"""The ways to change an object without sending all of it: JSON patch, merge patch, strategic merge patch and apply.

Invariant: no patch changes its arguments; a patch that cannot be applied raises an `api.errors.ApiError`.
"""
