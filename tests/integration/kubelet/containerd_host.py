"""containerd in a host's namespaces, with images from archives."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import subprocess
import tarfile
from pathlib import Path

from podman_host import BUSYBOX, PAUSE, SPEAKER, Host, Node, eventually, missing

from api.objects import Object

_CONFIG = """version = 2
root = "{directory}/containerd-root"
state = "{directory}/containerd-state"
[grpc]
  address = "{directory}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{directory}/cni/bin"
    conf_dir = "{directory}/cni/net.d"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "native"
"""

# What the image says itself.
_SAYS: Object = {"Entrypoint": ["/bin/echo", "said"], "Cmd": ["by", "itself"], "User": "1234", "WorkingDir": "/tmp"}


def containerd_missing() -> str:
    """Why containerd cannot run here, or ""."""
    absent = [name for name in ("containerd", "runc", "ctr") if shutil.which(name) is None]
    return missing() or (f"needs {', '.join(absent)}" if absent else "")


def start_containerd(host: Host) -> Path:
    """Start it and give it the images; the socket's path."""
    (host.directory / "containerd.toml").write_text(_CONFIG.format(directory=host.directory, pause=PAUSE))
    restart_containerd(host)
    import_image(
        host, PAUSE, {"catatonit": Path(shutil.which("catatonit") or "")}, {"Entrypoint": ["/catatonit", "-P"]}
    )
    import_image(host, BUSYBOX, host.small_files(), {})
    import_image(host, SPEAKER, host.small_files(), _SAYS)
    return _socket(host)


def import_image(host: Host, name: str, files: dict[str, Path], config: Object) -> None:
    """An image of these files."""
    archive = host.directory / "image.tar"
    archive.write_bytes(docker_archive(name, files, config))
    ctr(host, "images", "import", str(archive))


def ctr(host: Host, *words: str) -> str:
    """containerd's own command, on what belongs to pods."""
    return host.run("ctr", "--address", str(_socket(host)), "--namespace", "k8s.io", *words)


def _socket(host: Host) -> Path:
    return host.directory / "containerd.sock"


class ContainerdNode(Node):
    """A node whose kubelet works with containerd."""

    def __init__(self) -> None:
        super().__init__()
        directory = self.directory
        self.options = (
            *("--runtime", "containerd", "--container-runtime-endpoint", f"unix:{directory}/containerd.sock"),
            *("--cni-conf-dir", f"{directory}/cni/net.d", "--cni-bin-dir", f"{directory}/cni/bin"),
        )

    def start_runtime(self) -> None:
        start_containerd(self)

    def containers(self) -> list[str]:
        return ctr(self, "containers", "list", "--quiet").split()

    def images(self) -> set[str]:
        return {name for name in ctr(self, "images", "list", "--quiet").split() if not name.startswith("sha256:")}

    def import_image(self, name: str, files: dict[str, Path], *changes: str, applets: bool = False) -> None:
        import_image(self, name, files, {})

    def load_speaker(self) -> None:
        import_image(self, SPEAKER, self.small_files(), _SAYS)


def restart_containerd(host: Host) -> None:
    """Start it, or again after it was killed."""
    booted = "containerd successfully booted"
    log = host.directory / "containerd.log"
    before = log.read_text().count(booted) if log.exists() else 0
    host.start("containerd", "containerd", "--config", f"{host.directory}/containerd.toml")
    eventually(lambda: host.log("containerd").count(booted) > before, "containerd runs")


def docker_archive(name: str, files: dict[str, Path], said: Object) -> bytes:
    """An image of these files in the form of `docker save`, which says more; busybox gets links for all that it can."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as archive:
        for target, source in files.items():
            archive.add(source, target)
        directory = tarfile.TarInfo("tmp")
        directory.type, directory.mode = tarfile.DIRTYPE, 0o1777
        archive.addfile(directory)
        if "bin/busybox" in files:
            for applet in subprocess.run(["busybox", "--list"], capture_output=True, text=True).stdout.split():
                link = tarfile.TarInfo(f"bin/{applet}")
                link.type, link.linkname = tarfile.SYMTYPE, "busybox"
                if applet != "busybox":
                    archive.addfile(link)
    digest = hashlib.sha256(layer.getvalue()).hexdigest()
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"], **said},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
        }
    ).encode()
    manifest = json.dumps([{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]).encode()
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as archive:
        for member, content in (("layer.tar", layer.getvalue()), ("config.json", config), ("manifest.json", manifest)):
            entry = tarfile.TarInfo(member)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return whole.getvalue()
