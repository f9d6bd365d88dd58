"""What containers may do and use."""

from __future__ import annotations

import os

from pod_case import Case, container, once, phase, pod, rejected, shell, terminated, waiting
from podman_host import NODE, SPEAKER

from api.objects import Object

GROUPS = {"supplementalGroups": [7]}


def process_user(found: Object) -> tuple[int, int, list[int]]:
    """Who the status says that the container began as; Podman has groups in no order."""
    user = (container(found).get("user") or {}).get("linux") or {}
    return user.get("uid", -1), user.get("gid", -1), sorted(user.get("supplementalGroups", []))


def profile(kind: str, **more: str) -> Object:
    return {"seccompProfile": {"type": kind, **more}}


# What the pod says, what the container says, and whether the kernel says that a filter holds.
CONFINED = {
    "not-confined-unasked": ({}, {}, 0),
    "confined-by-the-pod": (profile("RuntimeDefault"), {}, 2),
    "confined-by-the-container": (profile("Unconfined"), profile("RuntimeDefault"), 2),
    "not-confined-by-the-container": (profile("RuntimeDefault"), profile("Unconfined"), 0),
    "not-confined-as-privileged": (profile("RuntimeDefault"), {"privileged": True}, 0),
}


def speaker(command: str = "", **more: object) -> Object:
    """A pod of the image that says itself as whom it runs."""
    words = {"command": ["/bin/sh", "-c", command]} if command else {}
    return {"restartPolicy": "Never", "containers": [{"name": "app", "image": SPEAKER, **words, **more}]}


SAYS_MESSAGES = "readlink /proc/self/ns/ipc"
# The node of the tests shares them with the tests themselves.
MESSAGES_OF_THE_NODE = os.readlink("/proc/self/ns/ipc")
NON_ROOT = {"runAsNonRoot": True}
POLICY = "container's runAsUser breaks non-root policy"

AS_WHOM = [
    Case("user-of-the-image", speaker("id -u", securityContext=NON_ROOT), phase("Succeeded"), log="1234\n"),
    Case(
        "other-user-than-the-images", speaker("id -u", securityContext={"runAsUser": 0}), phase("Succeeded"), log="0\n"
    ),
    Case(
        "group-beside-the-images-user",
        speaker("id -u; id -g", securityContext={"runAsGroup": 77}),
        phase("Succeeded"),
        log="1234\n77\n",
    ),
    Case(
        "named-user-that-is-not-root",
        once("id -u", securityContext=NON_ROOT | {"runAsUser": 1000}),
        phase("Succeeded"),
        log="1000\n",
    ),
    Case(
        "named-user-that-is-root",
        speaker("id -u", securityContext=NON_ROOT | {"runAsUser": 0}),
        waiting("CreateContainerConfigError", POLICY),
        events=("Failed",),
    ),
    Case("users-of-the-node", once("cat /proc/self/uid_map", hostUsers=True), phase("Succeeded"), log="4294967295"),
    Case(
        "own-users-and-group-of-files",
        once(
            "stat -c =%g $(find /v -type f)",
            hostUsers=False,
            volumeMounts=[{"name": "v", "mountPath": "/v"}],
            volumes=[{"name": "v", "configMap": {"name": "settings"}}],
        )
        | {"securityContext": {"fsGroup": 200}},
        phase("Succeeded"),
        log="=200\n=200\n",
    ),
    Case(
        "processes-of-the-node",
        once("test $(cat /proc/1/comm) != sh && echo others", hostPID=True),
        phase("Succeeded"),
        log="others",
    ),
    Case("messages-of-the-node", once(SAYS_MESSAGES, hostIPC=True), phase("Succeeded"), log=MESSAGES_OF_THE_NODE),
    Case(
        "messages-of-its-own",
        once(f'test "$({SAYS_MESSAGES})" != "{MESSAGES_OF_THE_NODE}" && echo apart'),
        phase("Succeeded"),
        log="apart",
    ),
    Case(
        "link-without-privileges",
        once("ip link add dummy0 type dummy 2>&1 || true"),
        phase("Succeeded"),
        log="Operation not permitted",
    ),
    Case(
        "mount-with-privileges",
        once("mount -t tmpfs x /tmp && echo mounted", securityContext={"privileged": True}),
        phase("Succeeded"),
        log="mounted",
    ),
    Case(
        "limits-of-the-pod",
        once("cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null; true")
        | {"resources": {"limits": {"memory": "64Mi"}, "requests": {"memory": "32Mi"}}},
        phase("Succeeded"),
        log="67108864\n",
    ),
    Case("other-operating-system", pod(os={"name": "windows"}, nodeName=NODE), rejected("PodOSNotSupported")),
    Case("other-node", pod(nodeName=NODE, nodeSelector={"is": "elsewhere"}), rejected("NodeAffinity")),
]

SECURITY = [
    *AS_WHOM,
    *(
        Case(
            name,
            once("grep Seccomp: /proc/self/status", securityContext=own) | {"securityContext": of_pod},
            phase("Succeeded"),
            log=f"Seccomp:\t{mode}",
        )
        for name, (of_pod, own, mode) in CONFINED.items()
    ),
    Case(
        "confined-by-a-profile-of-the-node",
        once(
            "touch /tmp/x && ! mkdir /tmp/y 2>&1",
            securityContext=profile("Localhost", localhostProfile="no-mkdir.json"),
        ),
        phase("Succeeded"),
        log="mkdir: can't create directory '/tmp/y': Operation not permitted\n",
    ),
    Case(
        "profile-that-is-not-there",
        pod(shell(securityContext=profile("Localhost", localhostProfile="none.json"))),
        waiting("CreateContainerError", "none.json"),
    ),
    Case(
        "user",
        once("id -u; id -g; id -G", securityContext={"runAsUser": 1234, "runAsGroup": 99}),
        phase("Succeeded"),
        log="1234\n99\n",
    ),
    Case(
        "groups-of-the-image",
        once("id -G | xargs -n1 | sort -n", securityContext={"runAsUser": 1500, "runAsGroup": 99})
        | {"securityContext": GROUPS},
        lambda p: phase("Succeeded")(p) and process_user(p) == (1500, 99, [7, 99, 50000]),
        log="7\n99\n50000\n",
    ),
    Case(
        "only-these-groups",
        once("id -g; id -G", securityContext={"runAsUser": 1500})
        | {"securityContext": GROUPS | {"supplementalGroupsPolicy": "Strict"}},
        lambda p: phase("Succeeded")(p) and process_user(p) == (1500, 1501, [7, 1501]),
        log="1501\n1501 7\n",
    ),
    Case(
        "own-users",
        once(
            "id -u; stat -c %u /d /m /etc/hosts; touch /d/x /m/x; httpd -p 80 -h / && echo bound;"
            " read first node rest < /proc/self/uid_map; test $node -ge 65536 && echo mapped",
            volumeMounts=[{"name": "d", "mountPath": "/d"}, {"name": "m", "mountPath": "/m"}],
            volumes=[{"name": "d", "emptyDir": {}}, {"name": "m", "emptyDir": {"medium": "Memory"}}],
            hostUsers=False,
        ),
        phase("Succeeded"),
        log="0\n0\n0\n0\nbound\nmapped\n",
    ),
    Case(
        "non-root",
        pod(shell(securityContext={"runAsNonRoot": True})),
        waiting("CreateContainerConfigError", "container has runAsNonRoot and image will run as root"),
    ),
    Case(
        "read-only-root",
        once("touch /x || echo refused", securityContext={"readOnlyRootFilesystem": True}),
        phase("Succeeded"),
        log="refused",
    ),
    Case(
        "capabilities",
        once(
            "grep CapEff /proc/self/status", securityContext={"capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]}}
        ),
        phase("Succeeded"),
        log="0000000000001000",
    ),
    Case(
        "capabilities-that-all-have",
        once("grep CapEff /proc/self/status; ping -c 1 127.0.0.1 > /dev/null && mknod /tmp/null c 1 3 && echo both"),
        phase("Succeeded"),
        log="00000000a80425fb\nboth\n",
    ),
    Case(
        "capabilities-of-another-user",
        once("grep -E 'Cap(Eff|Bnd)' /proc/self/status", securityContext={"runAsUser": 1000}),
        phase("Succeeded"),
        log="CapEff:\t0000000000000000\nCapBnd:\t00000000a80425fb\n",
    ),
    Case(
        "no-new-privileges",
        once("grep NoNewPrivs /proc/self/status", securityContext={"allowPrivilegeEscalation": False}),
        phase("Succeeded"),
        log="NoNewPrivs:\t1",
    ),
    Case(
        "privileged",
        once("grep CapEff /proc/self/status", securityContext={"privileged": True}),
        phase("Succeeded"),
        log="CapEff",
    ),
    Case(
        "fs-group",
        once(
            "stat -c %g /d",
            volumeMounts=[{"name": "d", "mountPath": "/d"}],
            securityContext={},
            volumes=[{"name": "d", "emptyDir": {}}],
        )
        | {"securityContext": {"fsGroup": 4321}},
        phase("Succeeded"),
        log="4321",
    ),
    Case(
        "out-of-memory",
        once("x=a; while true; do x=$x$x; done", resources={"limits": {"memory": "16Mi"}}),
        terminated(137, "OOMKilled"),
    ),
    Case(
        "limits",
        once(
            "for f in memory/memory.limit_in_bytes cpu/cpu.cfs_quota_us cpu/cpu.shares memory.max cpu.max;"
            " do cat /sys/fs/cgroup/$f 2>/dev/null; done; true",
            resources={"limits": {"memory": "32Mi", "cpu": "250m"}, "requests": {"cpu": "100m"}},
        ),
        phase("Succeeded"),
        log="33554432",
    ),
    Case(
        "safe-sysctl",
        once("cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/shm_rmid_forced")
        | {
            "securityContext": {
                "sysctls": [
                    {"name": "net.ipv4.ip_unprivileged_port_start", "value": "80"},
                    {"name": "kernel/shm_rmid_forced", "value": "1"},
                ]
            }
        },
        phase("Succeeded"),
        log="80\n1\n",
    ),
    Case(
        "sysctl-that-the-kernel-refuses",
        pod() | {"securityContext": {"sysctls": [{"name": "kernel.shm_rmid_forced", "value": "7"}]}},
        waiting("ContainerCreating"),
        events=("FailedCreatePodSandBox",),
    ),
    Case(
        "forbidden-sysctl",
        pod() | {"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "65536"}]}},
        lambda p: (
            rejected("SysctlForbidden")(p)
            and p["status"]["message"] == 'Pod was rejected: forbidden sysctl: "kernel.msgmax" not allowlisted'
        ),
        events=("SysctlForbidden",),
    ),
    Case("runtime-class", once("echo by class", runtimeClassName="other"), phase("Succeeded"), log="by class"),
    Case(
        "unknown-handler",
        pod(runtimeClassName="unknown"),
        waiting("ContainerCreating"),
        events=("FailedCreatePodSandBox",),
    ),
    Case(
        "shared-processes",
        pod(
            shell(),
            {**shell("while true; do ps | grep -c 'sleep 0.1'; sleep 1; done"), "name": "b"},
            shareProcessNamespace=True,
        ),
    ),
    Case(
        "host-network",
        once("ip -4 addr show eth0", hostNetwork=True),
        lambda p: phase("Succeeded")(p) and p["status"]["podIP"] == p["status"]["hostIP"],
        log="192.0.2.10",
    ),
]
