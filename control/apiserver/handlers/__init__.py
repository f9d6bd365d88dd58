"""The verbs of the API, one file a concern.

Invariant: a handler gets an authorized request and returns a `Response` or raises `ApiError`.
"""
