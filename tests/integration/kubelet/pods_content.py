"""What containers find: environment, files and volumes."""

from __future__ import annotations

from pod_case import RUN, Case, container, evicted, once, phase, pod, shell, waiting
from podman_host import BUSYBOX, PAUSE, SPEAKER

from api.objects import Object

CONFIG = {"configMap": {"name": "settings"}}

ENVIRONMENT = [
    Case(
        "environment",
        once(
            'echo "$LITERAL $COMPOSED $COLOR $TOKEN $NAME $LIMIT $ALL_shape"',
            env=[
                {"name": "LITERAL", "value": "plain"},
                {"name": "COMPOSED", "value": "<$(LITERAL)>"},
                {"name": "COLOR", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "color"}}},
                {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "token"}}},
                {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                {"name": "LIMIT", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}},
            ],
            envFrom=[{"prefix": "ALL_", "configMapRef": {"name": "settings"}}],
            resources={"limits": {"memory": "32Mi"}},
        ),
        phase("Succeeded"),
        log="plain <plain> red s3cret environment 32 round",
    ),
    Case(
        "addresses-on-the-nodes-network",
        once(
            'test -n "$POD" && test "$POD" = "$NODE" && echo the same',
            env=[
                {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}},
            ],
            hostNetwork=True,
        ),
        phase("Succeeded"),
        log="the same",
    ),
    Case(
        "missing-config-map",
        pod(shell(envFrom=[{"configMapRef": {"name": "absent"}}])),
        waiting("CreateContainerConfigError", 'configmap "absent" not found'),
        events=("Failed",),
    ),
    Case(
        "services", once("env | grep KUBERNETES_SERVICE_PORT="), phase("Succeeded"), log="KUBERNETES_SERVICE_PORT=443"
    ),
    Case("host-name", once("hostname", hostname="rower"), phase("Succeeded"), log="rower"),
    Case(
        "full-host-name",
        once("hostname; cat /etc/hosts", hostname="rower", subdomain="crew", setHostnameAsFQDN=True),
        phase("Succeeded"),
        log="rower.crew.table.svc.cluster.local\n",
    ),
    Case(
        "too-long-full-host-name",
        pod(hostname="r" * 40, subdomain="crew", setHostnameAsFQDN=True),
        waiting("ContainerCreating"),
        events=("FailedCreatePodSandBox",),
    ),
    Case(
        "expanded-sub-path",
        once(
            "echo kept > /v/file; cat /all/expanded-sub-path/file",
            env=[{"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
            volumeMounts=[
                {"name": "v", "mountPath": "/v", "subPathExpr": "$(NAME)"},
                {"name": "v", "mountPath": "/all"},
            ],
            volumes=[{"name": "v", "emptyDir": {}}],
        ),
        phase("Succeeded"),
        log="kept",
    ),
    Case(
        "optional-sources",
        once(
            "ls /o | wc -l; echo [$X]",
            env=[{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "absent", "key": "x", "optional": True}}}],
            envFrom=[{"secretRef": {"name": "absent", "optional": True}}],
            volumeMounts=[{"name": "o", "mountPath": "/o"}],
            volumes=[{"name": "o", "configMap": {"name": "absent", "optional": True}}],
        ),
        phase("Succeeded"),
        log="0\n[]",
    ),
    Case(
        "hosts-file",
        once("cat /etc/hosts", hostAliases=[{"ip": "192.0.2.7", "hostnames": ["mooring"]}]),
        phase("Succeeded"),
        log="192.0.2.7\tmooring",
    ),
    Case(
        "cluster-dns",
        once("cat /etc/resolv.conf"),
        phase("Succeeded"),
        log="nameserver 10.96.0.10\nsearch table.svc.cluster.local",
    ),
    Case(
        "own-dns",
        once(
            "cat /etc/resolv.conf",
            dnsPolicy="None",
            dnsConfig={"nameservers": ["192.0.2.53"], "options": [{"name": "ndots", "value": "2"}]},
        ),
        phase("Succeeded"),
        log="nameserver 192.0.2.53\noptions ndots:2",
    ),
]

SAID = [
    Case(
        f"image-says-{name}",
        {"restartPolicy": "Never", "containers": [{"name": "app", "image": SPEAKER, **words}]},
        phase("Succeeded"),
        log=log,
    )
    for name, words, log in [
        ("all", {}, "said by itself\n"),
        ("the-command", {"args": ["in", "words"]}, "said in words\n"),
        ("nothing", {"command": ["/bin/echo", "other"]}, "other\n"),
        ("where", {"command": ["/bin/pwd"]}, "/tmp\n"),
        ("nothing-of-where", {"command": ["/bin/pwd"], "workingDir": "/etc"}, "/etc\n"),
        ("nothing-of-where-and-has-no-such-place", {"command": ["/bin/pwd"], "workingDir": "/new/one"}, "/new/one\n"),
    ]
]

IMAGE_MOUNT = {"name": "i", "mountPath": "/i"}


def image_of(reference: str) -> Object:
    """A volume that is an image of the node."""
    return {"name": "i", "image": {"reference": reference, "pullPolicy": "Never"}}


VOLUMES = [
    Case(
        "config-map-volume",
        once(
            "cat /etc/s/color /etc/s/deep/shape; stat -c %a /etc/s/..data/deep/shape;"
            " touch /etc/s/x 2>/dev/null || echo read-only",
            volumeMounts=[{"name": "s", "mountPath": "/etc/s"}],
            volumes=[
                {
                    "name": "s",
                    "configMap": {
                        "name": "settings",
                        "items": [
                            {"key": "color", "path": "color"},
                            {"key": "shape", "path": "deep/shape", "mode": 0o400},
                        ],
                    },
                }
            ],
        ),
        phase("Succeeded"),
        log="redround400\nread-only",
    ),
    Case(
        "missing-secret-volume",
        pod(
            shell(volumeMounts=[{"name": "s", "mountPath": "/s"}]),
            volumes=[{"name": "s", "secret": {"secretName": "absent"}}],
        ),
        waiting("ContainerCreating"),
        events=("FailedMount",),
    ),
    Case(
        "memory-volume",
        once(
            "grep ' /m tmpfs' /proc/mounts | head -1; dd if=/dev/zero of=/m/f bs=1M count=4 2>&1 | tail -1",
            volumeMounts=[{"name": "m", "mountPath": "/m"}],
            volumes=[{"name": "m", "emptyDir": {"medium": "Memory", "sizeLimit": "2Mi"}}],
        ),
        phase("Succeeded"),
        log="size=2048k",
    ),
    Case(
        "sub-path",
        once(
            "cat /one",
            volumeMounts=[{"name": "s", "mountPath": "/one", "subPath": "color"}],
            volumes=[{"name": "s", **CONFIG}],
        ),
        phase("Succeeded"),
        log="red",
    ),
    Case(
        "projected-token",
        once(
            "ls /t; test $(wc -c < /t/token) -gt 100 && echo long enough",
            volumeMounts=[{"name": "t", "mountPath": "/t"}],
            volumes=[
                {
                    "name": "t",
                    "projected": {
                        "sources": [
                            {"serviceAccountToken": {"path": "token", "expirationSeconds": 600}},
                            {
                                "downwardAPI": {
                                    "items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]
                                }
                            },
                            CONFIG,
                        ]
                    },
                }
            ],
        ),
        phase("Succeeded"),
        log="color\nlabels\nshape\ntoken\nlong enough",
    ),
    Case(
        "token-belongs-to-the-user",
        once(
            "stat -L -c '%u %a' /t/token",
            securityContext={"runAsUser": 1234},
            volumeMounts=[{"name": "t", "mountPath": "/t"}],
            volumes=[{"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}],
        ),
        phase("Succeeded"),
        log="1234 600",
    ),
    Case(
        "image-volume",
        once(
            "test -x /i/catatonit && echo found; touch /i/x 2>/dev/null || echo refused",
            volumeMounts=[IMAGE_MOUNT],
            volumes=[image_of(PAUSE)],
        ),
        phase("Succeeded"),
        log="found\nrefused\n",
    ),
    Case(
        "part-of-an-image-volume",
        once(
            "test -x /i && echo found; /j/busybox echo ran; touch /i /j/x 2>/dev/null || echo refused",
            volumeMounts=[
                IMAGE_MOUNT | {"subPath": "catatonit"},
                {"name": "j", "mountPath": "/j", "subPathExpr": "$(WHERE)"},
            ],
            env=[{"name": "WHERE", "value": "bin"}],
            volumes=[image_of(PAUSE), image_of(BUSYBOX) | {"name": "j"}],
        ),
        phase("Succeeded"),
        log="found\nran\nrefused\n",
    ),
    Case(
        "no-such-part-of-an-image-volume",
        pod(shell(volumeMounts=[IMAGE_MOUNT | {"subPath": "none"}]), volumes=[image_of(PAUSE)]),
        waiting("CreateContainerError", "the image has no none"),
    ),
    Case(
        "image-volume-absent",
        pod(shell(volumeMounts=[IMAGE_MOUNT]), volumes=[image_of("localhost/none:1")]),
        waiting("ErrImageNeverPull", "localhost/none:1"),
    ),
    Case(
        "default-modes",
        once(
            "stat -L -c %a /s/color; stat -c %a /e",
            volumeMounts=[{"name": "s", "mountPath": "/s"}, {"name": "e", "mountPath": "/e"}],
            volumes=[
                {"name": "s", "configMap": {"name": "settings", "defaultMode": 0o440}},
                {"name": "e", "emptyDir": {}},
            ],
        ),
        phase("Succeeded"),
        log="440\n777",
    ),
    Case(
        "read-only-below-if-possible",
        once(
            "touch /h/x 2>&1; true",
            volumeMounts=[{"name": "h", "mountPath": "/h", "readOnly": True, "recursiveReadOnly": "IfPossible"}],
            volumes=[{"name": "h", "hostPath": {"path": "/dev", "type": "Directory"}}],
        ),
        lambda p: (
            phase("Succeeded")(p)
            and container(p)["volumeMounts"][0]
            == {"name": "h", "mountPath": "/h", "readOnly": True, "recursiveReadOnly": "Disabled"}
        ),
        log="touch: /h/x: Read-only file system",
    ),
    Case(
        "read-only-below-demanded",
        pod(
            shell(volumeMounts=[{"name": "h", "mountPath": "/h", "readOnly": True, "recursiveReadOnly": "Enabled"}]),
            volumes=[{"name": "h", "hostPath": {"path": "/dev", "type": "Directory"}}],
        ),
        waiting("CreateContainerConfigError", "requested recursive read-only mount"),
    ),
    Case(
        "made-host-path",
        once(
            "touch /h/file && echo made",
            volumeMounts=[{"name": "h", "mountPath": "/h"}],
            volumes=[{"name": "h", "hostPath": {"path": "/run/made-host-path", "type": "DirectoryOrCreate"}}],
        ),
        phase("Succeeded"),
        log="made",
    ),
    Case(
        "volume-above-its-limit",
        pod(
            shell(f"dd if=/dev/zero of=/e/f bs=1M count=4; {RUN}", volumeMounts=[{"name": "e", "mountPath": "/e"}]),
            volumes=[{"name": "e", "emptyDir": {"sizeLimit": "1Mi"}}],
        ),
        evicted('Usage of EmptyDir volume "e" exceeds the limit "1Mi". '),
        events=("Evicted",),
    ),
    Case(
        "container-above-its-disk-limit",
        pod(
            shell(f"dd if=/dev/zero of=/f bs=1M count=4; {RUN}", resources={"limits": {"ephemeral-storage": "1Mi"}}),
            {**shell(resources={"limits": {"ephemeral-storage": "8Mi"}}), "name": "b"},
        ),
        evicted('Container app exceeded its local ephemeral storage limit "1Mi". '),
        events=("Evicted",),
    ),
    Case(
        "wrong-host-path",
        pod(
            shell(volumeMounts=[{"name": "h", "mountPath": "/h"}]),
            volumes=[{"name": "h", "hostPath": {"path": "/etc/hostname", "type": "Directory"}}],
        ),
        waiting("ContainerCreating"),
        events=("FailedMount",),
    ),
]
