"""containerd in a host's namespaces, with images from archives."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import subprocess
import tarfile
from pathlib import Path

from podman_host import BUSYBOX, PAUSE, SPEAKER, Host, eventually, missing

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


def containerd_missing() -> str:
    """Why containerd cannot run here, or ""."""
    absent = [name for name in ("containerd", "runc", "ctr") if shutil.which(name) is None]
    return missing() or (f"needs {', '.join(absent)}" if absent else "")


def start_containerd(host: Host) -> Path:
    """Start it and give it the images; the socket's path."""
    (host.directory / "containerd.toml").write_text(_CONFIG.format(directory=host.directory, pause=PAUSE))
    restart_containerd(host)
    sock = host.directory / "containerd.sock"
    says = {"Entrypoint": ["/bin/echo", "said"], "Cmd": ["by", "itself"], "User": "1234", "WorkingDir": "/tmp"}
    images: dict[str, tuple[dict[str, Path], Object]] = {
        PAUSE: ({"catatonit": Path(shutil.which("catatonit") or "")}, {"Entrypoint": ["/catatonit", "-P"]}),
        BUSYBOX: (host.small_files(), {}),
        SPEAKER: (host.small_files(), says),
    }
    for name, (files, config) in images.items():
        archive = host.directory / "image.tar"
        archive.write_bytes(docker_archive(name, files, config))
        host.run("ctr", "--address", str(sock), "--namespace", "k8s.io", "images", "import", str(archive))
    return sock


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
