"""The playbook language: files in, values out.

Invariant: nothing here evaluates a template or talks to a host; whatever is not supported is refused with file, line
and the nearest supported name.
"""
