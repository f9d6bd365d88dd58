"""Lets a CRI runtime use the network namespaces that the kubelet makes.

The interface cannot be given a namespace: the runtime makes one and calls a CNI plugin for it. The plugin put
here swaps it for the pod's.

Invariant: writing again changes nothing; a `loopback` plugin that is there stays.
"""

from __future__ import annotations

from pathlib import Path

import orjson

_PLUGIN = Path(__file__).with_name("pod_network.sh")
_NAME = "wherry-pod-network"
_CONFIGURATION = {"cniVersion": "0.4.0", "name": "wherry", "plugins": [{"type": _NAME}]}


def install(configuration_directory: Path, program_directory: Path) -> None:
    """Write the plugin and the configuration that names it. Raises OSError."""
    configuration_directory.mkdir(parents=True, exist_ok=True)
    program_directory.mkdir(parents=True, exist_ok=True)
    program = _PLUGIN.read_bytes()
    _write(program_directory / _NAME, program)
    if not (program_directory / "loopback").exists():
        _write(program_directory / "loopback", program)
    # The runtime waits for a configuration, so it comes last; the first in the order of names counts.
    _write(configuration_directory / "00-wherry.conflist", orjson.dumps(_CONFIGURATION))


def _write(path: Path, content: bytes) -> None:
    if path.exists() and path.read_bytes() == content:
        return
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_bytes(content)
    fresh.chmod(0o755)
    fresh.replace(path)
