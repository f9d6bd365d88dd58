"""Copies a directory of the host to another place there, as `copy` with `remote_src` does.

As in Ansible, links are taken along as links into a new directory; into one that is there they come only if
`local_follow` says how, and count as a change otherwise.

Invariant: what is only in the destination stays; with `call.check` nothing is written.
"""

from __future__ import annotations

import filecmp
import os
import shutil

from playbooks.engine.helper.call import Call
from playbooks.modules import _attributes


def copy(call: Call, source: str, target: str) -> bool:
    """Make a directory have what another has; whether that changes anything."""
    if not os.path.exists(target):
        if not call.check:
            shutil.copytree(source, target, symlinks=not call["local_follow"])
            _owned(call, target)
        return True
    changed = _merged(call, source, target)
    return _owned(call, target) or changed


def _merged(call: Call, source: str, target: str) -> bool:
    seen = filecmp.dircmp(source, target)
    new = [*seen.diff_files, *seen.left_only]
    for name in new if not call.check else ():
        _copied(call, os.path.join(source, name), os.path.join(target, name))
    changed = bool(new)
    for name in seen.common_dirs:
        changed = _merged(call, os.path.join(source, name), os.path.join(target, name)) or changed
    return changed


def _copied(call: Call, source: str, target: str) -> None:
    if os.path.islink(source) and call["local_follow"] is None:
        return
    if os.path.islink(source) and not call["local_follow"]:
        if os.path.lexists(target):
            os.unlink(target)
        os.symlink(os.readlink(source), target)
    elif os.path.isdir(source):
        shutil.copytree(source, target, symlinks=not call["local_follow"])
    elif os.path.isfile(source):
        shutil.copyfile(source, target)
        if not os.path.islink(source):
            shutil.copymode(source, target)
    _owned(call, target)


def _owned(call: Call, path: str) -> bool:
    """Owner and group of a path and all below it."""
    changed = _own(call, path)
    for folder, folders, names in os.walk(path):
        for name in folders + names:
            changed = _own(call, os.path.join(folder, name)) or changed
    return changed


def _own(call: Call, path: str) -> bool:
    return _attributes.apply(call, path, mode=None, attributes=None) if os.path.lexists(path) else False
