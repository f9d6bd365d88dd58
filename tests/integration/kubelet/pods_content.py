"""What containers find: environment, files and volumes."""

from __future__ import annotations

from pod_case import Case, once, phase, pod, shell, waiting

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
        "wrong-host-path",
        pod(
            shell(volumeMounts=[{"name": "h", "mountPath": "/h"}]),
            volumes=[{"name": "h", "hostPath": {"path": "/etc/hostname", "type": "Directory"}}],
        ),
        waiting("ContainerCreating"),
        events=("FailedMount",),
    ),
]
