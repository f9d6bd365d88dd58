"""Templates, conditions and loops: values in, values out.

Invariant: only text from the user's own files is ever evaluated; what a host answered never is.
"""
