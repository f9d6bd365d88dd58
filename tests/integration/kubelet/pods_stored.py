"""Volumes of every kind as containers find them: the cases of the original's tests of storage."""

from __future__ import annotations

from pod_case import RUN, Case, container, once, phase, pod, shell, terminated, waiting

from api.objects import Object


def mounted(script: str, *sources: Object, **more: object) -> Object:
    """A pod that runs a script to its end with volumes at /v0, /v1, …"""
    names = [f"v{index}" for index in range(len(sources))]
    mounts = [{"name": name, "mountPath": f"/{name}"} for name in names]
    volumes = [{"name": name, **source} for name, source in zip(names, sources, strict=True)]
    return once(script, **({"volumeMounts": mounts} | more), volumes=volumes)


def sub(
    path: str, script: str = "ls /s", prepared: str = "true", source: Object | None = None, **more: object
) -> Object:
    """A pod with a sub path of a volume at /s, after an init container has prepared the volume at /v."""
    first = {**shell(prepared, volumeMounts=[{"name": "v", "mountPath": "/v"}]), "name": "first"}
    mount = {"name": "v", "mountPath": "/s", "subPath": path, **more}
    return once(script, volumeMounts=[mount], volumes=[{"name": "v", **(source or {"emptyDir": {}})}],
                initContainers=[first])  # fmt: skip


def config(**more: object) -> Object:
    return {"configMap": {"name": "settings", **more}}


def secret(**more: object) -> Object:
    return {"secret": {"secretName": "keys", **more}}


def host(path: str, kind: str) -> Object:
    return {"hostPath": {"path": path, "type": kind}}


def of_the_pod(path: str) -> Object:
    return {"path": path.rpartition(".")[2], "fieldRef": {"fieldPath": f"metadata.{path}"}}


def of_container(resource: str, divisor: str = "1") -> Object:
    reference = {"containerName": "app", "resource": resource, "divisor": divisor}
    return {"path": resource, "resourceFieldRef": reference}


AS = {"user": {"runAsUser": 1001}, "root": {}}
MEDIA = {"disk": {}, "memory": {"medium": "Memory"}}
WRITES = (
    "stat -c %a /v0; for m in 644 666 777; do echo text > /v0/$m && chmod $m /v0/$m; done;"
    " stat -c '%a %u' /v0/*; cat /v0/*; grep -c ' /v0 tmpfs' /proc/mounts; true"
)

EMPTY = [
    Case(
        f"empty-directory-as-{user}-in-{medium}",
        mounted(WRITES, {"emptyDir": MEDIA[medium]}, securityContext=AS[user]),
        phase("Succeeded"),
        log="777\n" + "".join(f"{mode} {AS[user].get('runAsUser', 0)}\n" for mode in (644, 666, 777))
        + "text\n" * 3 + ("1\n" if medium == "memory" else "0\n"),
    )
    for user in AS
    for medium in MEDIA
]  # fmt: skip

PROJECTED = [
    Case(
        f"{name}-as-{user}",
        mounted(
            f"cat /v0/{file}; stat -L -c '%a %g' /v0/{file}; ls /v0", source,
            securityContext=AS[user],
        ) | ({"securityContext": {"fsGroup": 4000}} if user == "user" else {}),
        phase("Succeeded"),
        log=log,
    )
    for name, file, source, user, log in [
        ("config-map", "color", config(), "root", "red644 0\ncolor\nshape\n"),
        ("config-map", "color", config(), "user", "red644 4000\n"),
        ("config-map-with-mode", "color", config(defaultMode=0o400), "root", "red400 0\n"),
        ("config-map-with-mode", "color", config(defaultMode=0o440), "user", "red440 4000\n"),
        ("config-map-items", "a/b", config(items=[{"key": "color", "path": "a/b"}]), "user", "red644 4000\na\n"),
        ("config-map-item-mode", "a/b", config(items=[{"key": "color", "path": "a/b", "mode": 0o400}]), "root",
         "red400 0\na\n"),
        ("secret", "token", secret(), "root", "s3cret644 0\n"),
        ("secret-with-mode", "token", secret(defaultMode=0o440), "user", "s3cret440 4000\n"),
        ("secret-items", "t", secret(items=[{"key": "token", "path": "t", "mode": 0o400}]), "root", "s3cret400 0\nt\n"),
        ("binary", "bytes", {"configMap": {"name": "binary"}}, "root", "\x01\x02x"),
        ("projected-mode", "p/color", {"projected": {"defaultMode": 0o440, "sources": [
            {"configMap": {"name": "settings", "items": [{"key": "color", "path": "p/color"}]}},
            {"secret": {"name": "keys", "items": [{"key": "token", "path": "p/token"}]}},
        ]}}, "user", "red440 4000\np\n"),
    ]
]  # fmt: skip

TOLD = [
    Case(
        "downward-files",
        mounted(
            "for f in name namespace uid labels; do echo $f $(cat /v0/$f); done; stat -L -c %a /v0/name",
            {"downwardAPI": {"defaultMode": 0o400, "items": [
                of_the_pod("name"), of_the_pod("namespace"), of_the_pod("uid"), of_the_pod("labels"),
            ]}},
        ),
        phase("Succeeded"),
        log='labels case="downward-files"\n400\n',
    ),
    Case(
        "downward-resources",
        mounted(
            "cd /v0; for f in *; do echo $f $(cat $f); done",
            {"downwardAPI": {"items": [
                of_container("limits.cpu", "1m"), of_container("limits.memory"),
                of_container("requests.cpu", "1m"), of_container("requests.memory", "1Mi"),
            ]}},
            resources={"limits": {"cpu": "1250m", "memory": "64Mi"}, "requests": {"cpu": "250m", "memory": "32Mi"}},
        ),
        phase("Succeeded"),
        log="limits.cpu 1250\nlimits.memory 67108864\nrequests.cpu 250\nrequests.memory 32\n",
    ),
    Case(
        "downward-resources-of-the-node",
        mounted(
            "test $(cat /v0/limits.cpu) -ge 1 && test $(cat /v0/limits.memory) -gt 1000000 && cat /v0/requests.cpu",
            {"downwardAPI": {"items": [of_container("limits.cpu"), of_container("limits.memory"),
                                       of_container("requests.cpu")]}},
        ),
        phase("Succeeded"),
        log="0",
    ),
]  # fmt: skip

TYPES = [
    Case(f"host-path-{kind.lower()}", mounted("test -e /v0 && echo there", host(path, kind)), phase("Succeeded"),
         log="there")
    for kind, path in [
        ("Directory", "/etc"), ("File", "/etc/passwd"), ("CharDevice", "/dev/null"), ("FileOrCreate", "/run/made-file"),
    ]
] + [
    Case(f"host-path-no-{kind.lower()}", pod(shell(volumeMounts=[{"name": "h", "mountPath": "/h"}]),
                                             volumes=[{"name": "h", **host(path, kind)}]),
         waiting("ContainerCreating"), messages=(f"hostPath type check failed: {path} is not {what}",))
    for kind, path, what in [
        ("Directory", "/none", "a directory"), ("File", "/etc", "a file"), ("Socket", "/etc", "a socket file"),
        ("CharDevice", "/etc", "a character device"), ("BlockDevice", "/dev/null", "a block device"),
        ("DirectoryOrCreate", "/etc/passwd", "a directory"), ("FileOrCreate", "/etc", "a file"),
    ]
]  # fmt: skip

REFUSED = 'failed to prepare subPath for volumeMount "v" of container "app"'
FILE = "echo text > /v/file"
SUB_PATHS = [
    Case("sub-path-of-a-directory", sub("a", "cat /s/f", "mkdir /v/a; echo text > /v/a/f"), phase("Succeeded"),
         log="text"),
    Case("sub-path-of-a-file", sub("file", "cat /s", FILE), phase("Succeeded"), log="text"),
    Case("sub-path-that-is-new", sub("new/deep", "touch /s/x; ls -d /s/x; stat -c %a /s"), phase("Succeeded"),
         log="/s/x\n777\n"),
    Case("sub-path-by-a-link-within", sub("link", "cat /s/f", "mkdir /v/a; echo text > /v/a/f; ln -s a /v/link"),
         phase("Succeeded"), log="text"),
    Case("sub-path-read-only", sub("a", "touch /s/x || echo refused", readOnly=True), phase("Succeeded"),
         log="refused"),
    Case("sub-path-of-a-config-map", sub("color", "cat /s", source=config()), phase("Succeeded"), log="red"),
    Case("sub-path-of-a-secret", sub("token", "cat /s", source=secret()), phase("Succeeded"), log="s3cret"),
    Case("sub-path-out-by-a-link", sub("link", prepared="ln -s /etc /v/link"),
         waiting("CreateContainerConfigError", REFUSED), messages=(f"Failed: Error: {REFUSED}",)),
    Case("sub-path-out-by-a-link-to-a-file", sub("link", prepared="ln -s /etc/passwd /v/link"),
         waiting("CreateContainerConfigError", REFUSED)),
    Case("sub-path-out-by-a-link-above", sub("link/x", prepared="ln -s ../.. /v/link"),
         waiting("CreateContainerConfigError",
                 'failed to (prepare subPath|create subPath directory) for volumeMount "v" of container "app"')),
    Case(
        "sub-path-by-a-variable-that-is-not-there",
        once("true", volumeMounts=[{"name": "v", "mountPath": "/s", "subPathExpr": "$(NONE)"}],
             volumes=[{"name": "v", "emptyDir": {}}]),
        waiting("CreateContainerConfigError", "missing value for NONE"),
    ),
    Case(
        "sub-path-by-a-variable-that-leads-out",
        once("true", env=[{"name": "WHERE", "value": "../x"}],
             volumeMounts=[{"name": "v", "mountPath": "/s", "subPathExpr": "$(WHERE)"}],
             volumes=[{"name": "v", "emptyDir": {}}]),
        waiting("CreateContainerConfigError", r"unable to provision SubPath `../x`: must not contain '..'"),
    ),
    Case(
        "sub-path-by-a-variable-that-is-absolute",
        once("true", env=[{"name": "WHERE", "value": "/tmp"}],
             volumeMounts=[{"name": "v", "mountPath": "/s", "subPathExpr": "$(WHERE)"}],
             volumes=[{"name": "v", "emptyDir": {}}]),
        waiting("CreateContainerConfigError", "error SubPath `/tmp` must not be an absolute path"),
    ),
]  # fmt: skip

SAID = [
    Case("message-of-root", once("echo -n DONE > /dev/termination-log"), terminated(0, "Completed", "DONE")),
    Case(
        "message-of-a-user-at-a-path-of-its-own",
        once("echo -n DONE > /dev/own-log", terminationMessagePath="/dev/own-log",
             securityContext={"runAsUser": 10000}),
        terminated(0, "Completed", "DONE"),
    ),
    Case(
        "message-from-the-file-before-the-log",
        once("echo log; echo -n file > /dev/termination-log; exit 1",
             terminationMessagePolicy="FallbackToLogsOnError"),
        terminated(1, "Error", "file"),
    ),
    Case(
        "no-message-from-the-log-of-a-success",
        once("echo DONE", terminationMessagePolicy="FallbackToLogsOnError"),
        lambda p: terminated(0, "Completed")(p) and "message" not in container(p)["state"]["terminated"],
    ),
    Case(
        "long-message-is-cut",
        once("for i in $(seq 1000); do echo -n 0123456789; done > /dev/termination-log"),
        lambda p: phase("Succeeded")(p) and len(container(p)["state"]["terminated"]["message"]) == 4096,
    ),
    Case(
        "hosts-of-the-node",
        once("head -1 /etc/hosts; cat /etc/hosts", hostNetwork=True,
             hostAliases=[{"ip": "192.0.2.7", "hostnames": ["mooring"]}]),
        phase("Succeeded"),
        log="# Kubernetes-managed hosts file (host network).",
    ),
    Case("hosts-of-the-pod", once("head -1 /etc/hosts"), phase("Succeeded"), log="# Kubernetes-managed hosts file."),
    Case(
        "own-hosts-file",
        once("cat /etc/hosts", volumeMounts=[{"name": "v", "mountPath": "/etc/hosts", "subPath": "color"}],
             volumes=[{"name": "v", **config()}]),
        phase("Succeeded"),
        log="red",
    ),
    Case(
        "words-from-variables",
        {"restartPolicy": "Never", "containers": [
            {**shell(), "command": ["echo"], "args": ["$(A) $$(A) $(B)-$(NONE)"],
             "env": [{"name": "A", "value": "a"}, {"name": "B", "value": "b$(A)"}]}]},
        phase("Succeeded"),
        log="a $(A) ba-$(NONE)\n",
    ),
    Case("exit-status-is-told", once("exit 42"), terminated(42, "Error")),
    Case("runs-and-says-nothing", pod(shell("echo loud; " + RUN)), log="loud"),
]  # fmt: skip

STORED = EMPTY + PROJECTED + TOLD + TYPES + SUB_PATHS + SAID
