"""`wherry image`: container images from a few files and what apt provides, put on nodes without a registry.

A directory with an `image.yml` becomes one archive with one layer, in the form that `podman load` and
`docker load` read. Its id is the hash of its configuration, so a node that has the id needs no copy.

Invariant: the same files and package versions give the same image id.
Source: OCI image specification, configuration; Docker image specification 1.2, "Combined image JSON".
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from control.cli import archive, cache, provision
from control.cli.archive import Entry
from control.cli.errors import CommandError

IMAGES = Path(__file__).resolve().parents[2] / "playbooks" / "images"
_KIND = "images"
_KEYS = {"name", "packages", "files", "links", "entrypoint", "command", "user", "ports", "environment", "directory"}
_EPOCH = "1970-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True)
class Image:
    """A built image: its reference, its id (64 hex digits) and the archive that holds it."""

    name: str
    id: str
    file: Path

    def to_json(self) -> dict[str, str]:
        """As playbooks take it."""
        return {"name": self.name, "id": self.id, "file": str(self.file)}


def build(source: Path) -> Image:
    """Build the image of a directory, or take it from the cache. Raises CommandError."""
    recipe = _recipe(source)
    versions = {package: _candidate(package) for package in sorted({p["package"] for p in _packages(recipe).values()})}
    digest = hashlib.sha256(json.dumps([recipe, versions], sort_keys=True).encode())
    for path in sorted((recipe.get("files") or {}).values(), key=str):
        digest.update(_read(source / path["file"], source))
    with cache.locked(_KIND) as directory:
        stem = directory / digest.hexdigest()[:16]
        file = stem.with_suffix(".tar")
        if not file.exists():
            layer = archive.pack(_with_parents(list(_entries(source, recipe))))
            partial = stem.with_suffix(".partial")
            partial.write_bytes(_archive(recipe, layer))
            partial.rename(file)
    return inspect(file)


def inspect(file: Path) -> Image:
    """The name and id of the image in an archive. Raises CommandError if it is not an image archive."""
    try:
        with tarfile.open(file) as opened:
            member = opened.extractfile("manifest.json")
            manifest = json.load(member)[0] if member else {}
            config = opened.extractfile(manifest["Config"])
            identity = hashlib.sha256(config.read() if config else b"").hexdigest()
            name = (manifest.get("RepoTags") or [""])[0]
    except (OSError, tarfile.TarError, KeyError, ValueError, IndexError) as error:
        raise CommandError(f"{file} is not an image archive as `podman save` writes it: {error}") from error
    return Image(name, identity, file.resolve())


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `wherry image`."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    building = verbs.add_parser("build", help="build the image of a directory with an image.yml")
    building.add_argument(
        "source", nargs="+", help="the directory, or the name of one that comes with Wherry (pause, demo)"
    )
    building.add_argument("-o", "--output", type=Path, help="where the archive goes; the cache if left out")
    building.add_argument("--json", action="store_true", help="print a JSON list")
    loading = verbs.add_parser("load", help="put image archives on the nodes")
    loading.add_argument("file", nargs="+", type=Path, help="an archive as `wherry image build` or `podman save` makes")
    provision.add_arguments(loading)


def run(arguments: argparse.Namespace) -> int:
    """Run `wherry image`."""
    if arguments.verb == "build":
        return _build(arguments)
    images = [inspect(file).to_json() for file in arguments.file]
    changed = provision.play("images.yml", arguments.inventory, {"wherry_images": images}, provision.Run.of(arguments))
    if not changed:
        print("all nodes had the images already")
    return 0


def directory_of(source: str) -> Path:
    """The directory that a command line names: a path, or an image that comes with Wherry."""
    path = Path(source)
    known = IMAGES / source
    return known if not path.is_dir() and known.is_dir() else path


def _build(arguments: argparse.Namespace) -> int:
    if arguments.output and len(arguments.source) > 1:
        raise CommandError("--output holds one image; build the others in commands of their own")
    images = [build(directory_of(source)) for source in arguments.source]
    if arguments.output:
        arguments.output.write_bytes(images[0].file.read_bytes())
        images = [replace(images[0], file=arguments.output)]
    if arguments.json:
        print(json.dumps([image.to_json() for image in images]))
    else:
        for image in images:
            print(f"{image.name} {image.id[:12]} {image.file}")
    return 0


def _recipe(source: Path) -> dict[str, Any]:
    file = source / "image.yml"
    try:
        recipe = yaml.safe_load(file.read_text())
    except OSError as error:
        raise CommandError(f"{file} cannot be read: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise CommandError(f"{file} is not YAML: {error}") from error
    if not isinstance(recipe, dict) or not isinstance(recipe.get("name"), str):
        raise CommandError(f"{file} must be a mapping with a `name`")
    if unknown := sorted(set(recipe) - _KEYS):
        raise CommandError(f"{file} has unknown keys: {', '.join(unknown)} (known: {', '.join(sorted(_KEYS))})")
    for target, part in _packages(recipe).items():
        if set(part) != {"package", "path"}:
            raise CommandError(f"{file}: packages: {target} must say `package` and `path`")
    return recipe


def _packages(recipe: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    return recipe.get("packages") or {}


def _entries(source: Path, recipe: Mapping[str, Any]) -> Iterator[Entry]:
    for target, part in _packages(recipe).items():
        yield Entry(target.lstrip("/"), _from_package(part["package"], part["path"]), 0o755)
    for target, part in (recipe.get("files") or {}).items():
        content = _read(source / part["file"], source)
        yield Entry(target.lstrip("/"), content, int(str(part.get("mode", "0644")), 8))
    for target, link in (recipe.get("links") or {}).items():
        yield Entry(target.lstrip("/"), link=link)


def _with_parents(entries: list[Entry]) -> list[Entry]:
    parents = {parent.as_posix() for entry in entries for parent in Path(entry.path).parents} - {"."}
    return [*(Entry(parent, mode=0o755) for parent in parents), *entries]


def _archive(recipe: Mapping[str, Any], layer: bytes) -> bytes:
    layer_digest = hashlib.sha256(layer).hexdigest()
    settings: dict[str, Any] = {
        "Entrypoint": recipe.get("entrypoint"),
        "Cmd": recipe.get("command"),
        "User": recipe.get("user"),
        "WorkingDir": recipe.get("directory"),
        "Env": [f"{name}={value}" for name, value in (recipe.get("environment") or {}).items()],
        "ExposedPorts": {f"{port}/tcp": {} for port in recipe.get("ports") or []},
    }
    config = {
        "architecture": _architecture(),
        "os": "linux",
        "created": _EPOCH,
        "config": {name: value for name, value in settings.items() if value},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer_digest}"]},
        "history": [{"created": _EPOCH, "created_by": "wherry image build"}],
    }
    text = json.dumps(config, sort_keys=True).encode()
    config_name, layer_name = f"{hashlib.sha256(text).hexdigest()}.json", f"{layer_digest}.tar"
    manifest = [{"Config": config_name, "RepoTags": [recipe["name"]], "Layers": [layer_name]}]
    contents = {config_name: text, layer_name: layer, "manifest.json": json.dumps(manifest).encode()}
    return archive.pack(Entry(name, content) for name, content in contents.items())


def _read(path: Path, source: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CommandError(f"{source}/image.yml names {path}, which cannot be read: {error.strerror}") from error


def _from_package(package: str, path: str) -> bytes:
    """A package's file: as it lies here if that version is installed, so that a machine without a source can build."""
    if _candidate(package) == _installed(package):
        return _read_installed(package, Path("/", path))
    with tempfile.TemporaryDirectory(prefix="wherry-image-") as scratch:
        # apt drops its privileges for the download and must still be able to write here.
        Path(scratch).chmod(0o755)
        _apt("apt-get", "--quiet", "--option=APT::Sandbox::User=root", "download", package, directory=scratch)
        archives = list(Path(scratch).glob("*.deb"))
        _apt("dpkg-deb", "--extract", str(archives[0]), f"{scratch}/root", directory=scratch)
        file = Path(scratch, "root", path)
        if not file.is_file():
            raise CommandError(f"package {package} has no file {path}")
        return file.read_bytes()


def _read_installed(package: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CommandError(
            f"package {package} is installed here but {path} cannot be read: {error.strerror}; install it again"
        ) from error


def _installed(package: str) -> str:
    """The version that is installed here, or ""."""
    form = "--showformat=${db:Status-Abbrev} ${Version}\n"
    done = subprocess.run(["dpkg-query", "--show", form, package], capture_output=True, text=True, check=False)
    return done.stdout.removeprefix("ii  ").strip() if done.stdout.startswith("ii ") else ""


def _candidate(package: str) -> str:
    shown = _apt("apt-cache", "show", "--no-all-versions", package, directory="/")
    return next(line.partition(":")[2].strip() for line in shown.splitlines() if line.startswith("Version:"))


def _architecture() -> str:
    return _apt("dpkg", "--print-architecture", directory="/").strip()


def _apt(*command: str, directory: str) -> str:
    try:
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    except OSError as error:
        raise CommandError(
            f"images take their programs from apt packages, but {command[0]}: {error.strerror}"
        ) from error
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()] or ["it said nothing"]
        raise CommandError(f"`{' '.join(command)}` failed: {said[-1]}")
    return done.stdout
