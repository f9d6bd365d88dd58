"""Which variables a task sees, by Ansible's precedence.

Invariant: pure; nothing here evaluates a template.
"""
