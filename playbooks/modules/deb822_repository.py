"""Sources of apt in the form of paragraphs, a file and a signing key each.

Source: sources.list(5), "DEB822-STYLE FORMAT".
"""

from __future__ import annotations

import os
import re
import textwrap
from typing import Any

from playbooks.engine.helper.call import Call, Failure
from playbooks.engine.helper.options import Option
from playbooks.modules import _files
from playbooks.modules._download import opened

_TRUTHS = (
    "allow_downgrade_to_insecure", "allow_insecure", "allow_weak", "by_hash", "check_date", "check_valid_until",
    "enabled", "pdiffs", "trusted",
)  # fmt: skip
_LISTS = ("architectures", "components", "languages", "suites", "targets", "uris")
OPTIONS = {
    "name": Option(required=True),
    "state": Option(default="present", choices=("absent", "present")),
    "mode": Option("raw", default="0644"),
    "types": Option("list", default=("deb",), choices=("deb", "deb-src")),
    "signed_by": Option(),
    "date_max_future": Option("int"),
    "inrelease_path": Option(),
    "install_python_debian": Option("bool", default=False),
    **{name: Option("bool") for name in _TRUTHS},
    **{name: Option("list") for name in _LISTS},
}
_NOT_FIELDS = ("state", "mode", "install_python_debian")
_KEYRINGS, _PARTS = "/etc/apt/keyrings", "/etc/apt/sources.list.d"


def run(call: Call) -> dict[str, Any]:
    """Ansible's result of `deb822_repository`."""
    slug = re.sub(r"[^a-z0-9-]+", "", re.sub(r"[_\s]+", "-", call["name"].lower()))
    dest = f"{_PARTS}/{slug}.sources"
    keys = [f"{_KEYRINGS}/{slug}.{ending}" for ending in ("asc", "gpg")]
    if call["state"] == "absent":
        there = [path for path in (dest, *keys) if os.path.exists(path)]
        for path in there if not call.check else ():
            os.unlink(path)
        return {"changed": bool(there), "repo": None, "dest": dest, "key_filename": keys[-1]}
    key_changed, key, signed_by = _signed_by(call, keys)
    repo = _paragraph(call, signed_by)
    before = _files.read(dest)
    changed = before != repo.encode()
    if changed and not call.check:
        _files.write(call, dest, repo.encode())
    mode_changed = os.path.exists(dest) and _set_mode(call, dest, call["mode"])
    result = {
        "changed": changed or key_changed or mode_changed, "repo": repo, "dest": dest, "key_filename": key,
    }  # fmt: skip
    if call.diff and changed:
        result["diff"] = _files.text_diff(dest, before, repo.encode())
    return result


def _paragraph(call: Call, signed_by: str | None) -> str:
    """A field a line, in the order of their options' names."""
    lines = []
    for name, value in sorted(call.parameters.items()):
        if name in _NOT_FIELDS or name not in OPTIONS or value is None:
            continue
        text = signed_by or "" if name == "signed_by" else _text(value)
        if "\n" in text:
            inner = "\n".join(line.strip() or "." for line in text.strip().splitlines())
            lines.append(f"{_field(name)}:\n{textwrap.indent(inner, '    ')}\n")
        else:
            lines.append(f"{_field(name)}: {text}".rstrip() + "\n")
    return "".join(lines)


def _field(name: str) -> str:
    return {"name": "X-Repolib-Name", "uris": "URIs"}.get(name) or name.replace("_", "-").title()


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return " ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _signed_by(call: Call, keys: list[str]) -> tuple[bool, str | None, str | None]:
    """Whether a key was fetched anew, its file, and what the paragraph says of it."""
    given = call["signed_by"]
    if not given or os.path.isfile(given):
        return False, given, given
    if not re.match(r"[a-z][a-z0-9+.-]*:", given):
        return False, None, given
    try:
        with opened(given) as response:
            if response.status >= 400:
                raise Failure(f"Could not fetch signed_by key: HTTP Error {response.status}: {response.reason}")
            key = response.read()
    except OSError as error:
        raise Failure(f"Could not fetch signed_by key: {getattr(error, 'reason', error)}") from error
    path = keys[0] if b"-----BEGIN PGP PUBLIC KEY BLOCK-----" in key else keys[1]
    changed = _files.read(path) != key
    if changed and not call.check:
        os.makedirs(_KEYRINGS, 0o755, exist_ok=True)
        _files.write(call, path, key)
    if os.path.exists(path):
        changed = _set_mode(call, path, "0644") or changed
    return changed, path, path


def _set_mode(call: Call, path: str, wanted: Any) -> bool:
    current = os.stat(path).st_mode & 0o7777
    mode = _files.mode_of(wanted, path, current, False)
    if mode != current and not call.check:
        os.chmod(path, mode)
    return mode != current
