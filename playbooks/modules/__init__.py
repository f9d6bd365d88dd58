"""What a task does on its host, one file a module, with the names and return values of ansible.builtin.

A module has `OPTIONS` (what a task may say; checked before the first task runs) and `run(call)`, which returns the
task's result or raises `Failure`.

Invariant: standard library only, Python 3.8 and later; a second run of the same task reports `changed: false`;
with `call.check` nothing on the host changes and the result says what would have.
"""
