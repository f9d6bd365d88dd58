"""The messages of the Container Runtime Interface that the kubelet uses, to and from bytes.

Each message is a dictionary by field name. Zero values are not sent and absent ones not filled in, as proto3 has it.

Invariant: a field that the table does not know is skipped, so newer runtimes may say more.
Source: k8s.io/cri-api runtime/v1 api.proto: the field numbers below are the interface.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

from api.protobuf import wire

# Message: field=number:type, where [] is repeated and `map` goes from string to string.
_TABLE = """
VersionResponse runtime_name=2:string runtime_version=3:string
PodSandboxMetadata name=1:string uid=2:string namespace=3:string attempt=4:int
SecurityProfile profile_type=1:int localhost_ref=2:string
Int64Value value=1:int
NamespaceOption network=1:int pid=2:int ipc=3:int target_id=4:string
LinuxSandboxSecurityContext namespace_options=1:NamespaceOption privileged=6:bool seccomp=9:SecurityProfile
LinuxPodSandboxConfig cgroup_parent=1:string security_context=2:LinuxSandboxSecurityContext sysctls=3:map
PodSandboxConfig metadata=1:PodSandboxMetadata hostname=2:string log_directory=3:string dns_config=4:DNSConfig labels=6:map annotations=7:map linux=8:LinuxPodSandboxConfig
DNSConfig servers=1:string[] searches=2:string[] options=3:string[]
RunPodSandboxRequest config=1:PodSandboxConfig runtime_handler=2:string
SandboxReference pod_sandbox_id=1:string
PodSandboxFilter id=1:string label_selector=3:map
ListPodSandboxRequest filter=1:PodSandboxFilter
PodSandbox id=1:string metadata=2:PodSandboxMetadata state=3:int created_at=4:int labels=5:map
ListPodSandboxResponse items=1:PodSandbox[]
ImageSpec image=1:string
Mount container_path=1:string host_path=2:string readonly=3:bool propagation=5:int recursive_read_only=8:bool
KeyValue key=1:string value=2:string
HugepageLimit page_size=1:string limit=2:int
LinuxContainerResources cpu_period=1:int cpu_quota=2:int cpu_shares=3:int memory_limit_in_bytes=4:int oom_score_adj=5:int hugepage_limits=8:HugepageLimit[] unified=9:map memory_swap_limit_in_bytes=10:int
Capability add_capabilities=1:string[] drop_capabilities=2:string[]
LinuxContainerSecurityContext capabilities=1:Capability privileged=2:bool namespace_options=3:NamespaceOption run_as_user=5:Int64Value run_as_username=6:string readonly_rootfs=7:bool supplemental_groups=8:int[] no_new_privs=11:bool run_as_group=12:Int64Value masked_paths=13:string[] readonly_paths=14:string[] seccomp=15:SecurityProfile
LinuxContainerConfig resources=1:LinuxContainerResources security_context=2:LinuxContainerSecurityContext
ContainerMetadata name=1:string attempt=2:int
ContainerConfig metadata=1:ContainerMetadata image=2:ImageSpec command=3:string[] args=4:string[] working_dir=5:string envs=6:KeyValue[] mounts=7:Mount[] labels=9:map annotations=10:map log_path=11:string stdin=12:bool stdin_once=13:bool tty=14:bool linux=15:LinuxContainerConfig
CreateContainerRequest pod_sandbox_id=1:string config=2:ContainerConfig sandbox_config=3:PodSandboxConfig
ContainerReference container_id=1:string
KillRequest container_id=1:string signal=3:int
StopContainerRequest container_id=1:string timeout=2:int
ContainerFilter id=1:string label_selector=4:map
ListContainersRequest filter=1:ContainerFilter
Container id=1:string pod_sandbox_id=2:string metadata=3:ContainerMetadata image=4:ImageSpec image_ref=5:string state=6:int created_at=7:int labels=8:map image_id=10:string
ListContainersResponse containers=1:Container[]
ContainerStatus id=1:string metadata=2:ContainerMetadata state=3:int created_at=4:int started_at=5:int finished_at=6:int exit_code=7:int32 image=8:ImageSpec image_ref=9:string reason=10:string message=11:string labels=12:map image_id=17:string
ContainerStatusResponse status=1:ContainerStatus
UpdateContainerResourcesRequest container_id=1:string linux=2:LinuxContainerResources
ExecRequest container_id=1:string cmd=2:string[] tty=3:bool stdin=4:bool stdout=5:bool stderr=6:bool
AttachRequest container_id=1:string stdin=2:bool tty=3:bool stdout=4:bool stderr=5:bool
StreamResponse url=1:string
Image id=1:string repo_tags=2:string[] repo_digests=3:string[] size=4:int uid=5:Int64Value username=6:string pinned=8:bool
ListImagesResponse images=1:Image[]
ImageReference image=1:ImageSpec
ImageStatusResponse image=1:Image
ImageStatusRequest image=1:ImageSpec verbose=2:bool
VerboseRequest verbose=1:bool
VerboseAnswer info=2:map
ViewSnapshotRequest snapshotter=1:string key=2:string parent=3:string
SnapshotReference snapshotter=1:string key=2:string
SnapshotMount type=1:string source=2:string options=4:string[]
SnapshotMounts mounts=1:SnapshotMount[]
AuthConfig username=1:string password=2:string server_address=4:string
PullImageRequest image=1:ImageSpec auth=2:AuthConfig
PullImageResponse image_ref=1:string
FilesystemIdentifier mountpoint=1:string
UInt64Value value=1:int
FilesystemUsage fs_id=2:FilesystemIdentifier used_bytes=3:UInt64Value inodes_used=4:UInt64Value
ImageFsInfoResponse image_filesystems=1:FilesystemUsage[]
ContainerAttributes id=1:string
ContainerStats attributes=1:ContainerAttributes writable_layer=4:FilesystemUsage
ContainerStatsFilter label_selector=3:map
ListContainerStatsRequest filter=1:ContainerStatsFilter
ListContainerStatsResponse stats=1:ContainerStats[]
Empty
"""  # noqa: E501


class _Field(NamedTuple):
    name: str
    number: int
    kind: str
    repeated: bool


@lru_cache(maxsize=1)
def _messages() -> dict[str, dict[str, _Field]]:
    found = {}
    for line in _TABLE.strip().splitlines():
        name, *words = line.split()
        entries = (_field(word) for word in words)
        found[name] = {entry.name: entry for entry in entries}
    return found


@lru_cache(maxsize=256)
def _by_number(message: str) -> dict[int, _Field]:
    return {entry.number: entry for entry in _messages()[message].values()}


def _field(word: str) -> _Field:
    name, _, rest = word.partition("=")
    number, _, kind = rest.partition(":")
    return _Field(name, int(number), kind.removesuffix("[]"), kind.endswith("[]"))


def encode(message: str, values: dict[str, Any]) -> bytes:
    """The bytes of a message. Raises KeyError for a field that it does not have."""
    known = _messages()[message]
    out = b""
    for name, value in values.items():
        entry = known[name]
        if entry.kind == "map":
            pairs = (wire.bytes_field(1, k.encode()) + wire.bytes_field(2, v.encode()) for k, v in value.items())
            out += b"".join(wire.bytes_field(entry.number, pair) for pair in pairs)
        elif entry.repeated:
            out += b"".join(_encoded(entry, one) for one in value)
        elif value or (entry.kind in _messages() and value is not None):
            out += _encoded(entry, value)
    return out


def _encoded(entry: _Field, value: Any) -> bytes:
    if entry.kind in ("int", "int32", "bool"):
        return wire.integer_field(entry.number, int(value))
    if entry.kind == "string":
        return wire.bytes_field(entry.number, value.encode())
    return wire.bytes_field(entry.number, encode(entry.kind, value))


def decode(message: str, body: bytes) -> dict[str, Any]:
    """The message of these bytes. Raises wire.Malformed or UnicodeDecodeError."""
    known = _by_number(message)
    found: dict[str, Any] = {}
    for number, _, value in wire.fields(body):
        entry = known.get(number)
        if entry is None:
            continue
        if entry.kind == "map":
            pair = {key: inner for key, _, inner in wire.fields(_bytes(value))}
            key, text = (_bytes(pair.get(place, b"")).decode() for place in (1, 2))
            found.setdefault(entry.name, {})[key] = text
        elif entry.repeated:
            found.setdefault(entry.name, []).append(_decoded(entry, value))
        else:
            found[entry.name] = _decoded(entry, value)
    return found


def _decoded(entry: _Field, value: int | bytes) -> Any:
    if entry.kind in ("int", "int32", "bool"):
        number = value if isinstance(value, int) else 0
        return bool(number) if entry.kind == "bool" else wire.signed(number)
    body = _bytes(value)
    return body.decode() if entry.kind == "string" else decode(entry.kind, body)


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, bytes):
        return value
    raise wire.Malformed("a number stands where bytes should be")
