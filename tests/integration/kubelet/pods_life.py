"""How pods live and end."""

from __future__ import annotations

import sys
from pathlib import Path

from pod_case import (
    RUN,
    Case,
    container,
    http_server,
    once,
    phase,
    pod,
    rejected,
    restarted,
    shell,
    terminated,
    waiting,
)

from api.objects import Object, is_true

LIFE = [
    Case(
        "runs",
        pod(),
        events=("Pulled", "Created", "Started"),
        messages=("can be accessed by the pod", "Container created", "Container started"),
    ),
    Case("succeeds", once("echo done"), phase("Succeeded"), log="done"),
    Case("fails", once("exit 3"), lambda p: phase("Failed")(p) and terminated(3, "Error")(p)),
    Case("restarts", pod(shell("exit 1")), restarted, events=("BackOff",)),
    Case(
        "crash-loops",
        pod(shell("echo said; exit 1")),
        waiting("CrashLoopBackOff", "back-off .* restarting failed container=app"),
    ),
    Case(
        "tries-again-on-failure",
        pod(
            shell(
                "test -f /data/again && exit 0; touch /data/again; exit 1",
                volumeMounts=[{"name": "d", "mountPath": "/data"}],
            ),
            restartPolicy="OnFailure",
            volumes=[{"name": "d", "emptyDir": {}}],
        ),
        lambda p: phase("Succeeded")(p) and restarted(p),
    ),
    Case(
        "init-containers-run-in-order",
        once(
            "cat /data/log",
            volumeMounts=[{"name": "d", "mountPath": "/data"}],
            volumes=[{"name": "d", "emptyDir": {}}],
            initContainers=[
                {**shell(f"echo {n} >> /data/log", volumeMounts=[{"name": "d", "mountPath": "/data"}]), "name": f"i{n}"}
                for n in (1, 2)
            ],
        ),
        phase("Succeeded"),
        log="1\n2\n",
    ),
    Case(
        "init-container-fails",
        once("true", initContainers=[{**shell("exit 9"), "name": "i"}]),
        lambda p: phase("Failed")(p) and not is_true(p, "Initialized"),
    ),
    Case(
        "sidecar-runs-beside-and-ends-after",
        once("sleep 0.5; echo main done", initContainers=[{**shell(), "name": "side", "restartPolicy": "Always"}]),
        lambda p: phase("Succeeded")(p) and "terminated" in container(p, "initContainerStatuses")["state"],
    ),
    Case(
        "own-restart-rule",
        {
            "restartPolicy": "Never",
            "containers": [
                shell(
                    "test -f /data/again && exit 0; touch /data/again; exit 42",
                    volumeMounts=[{"name": "d", "mountPath": "/data"}],
                    restartPolicy="Never",
                    restartPolicyRules=[{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}],
                )
            ],
            "volumes": [{"name": "d", "emptyDir": {}}],
        },
        lambda p: phase("Succeeded")(p) and restarted(p),
    ),
    Case(
        "own-stop-signal",
        pod(
            shell(
                "trap 'exit 7' USR1; while true; do sleep 0.1; done",
                lifecycle={"stopSignal": "SIGUSR1"},
                livenessProbe={"exec": {"command": ["false"]}, "periodSeconds": 1, "failureThreshold": 1},
            ),
            os={"name": "linux"},
        ),
        lambda p: restarted(p) and container(p)["lastState"]["terminated"]["exitCode"] == 7,
    ),
    Case("deadline", pod(activeDeadlineSeconds=2), rejected("DeadlineExceeded"), events=("DeadlineExceeded",)),
    Case("message-from-file", once("echo -n why > /dev/termination-log; exit 1"), terminated(1, "Error", "why")),
    Case(
        "message-from-log",
        once("echo the; echo -n last words; exit 1", terminationMessagePolicy="FallbackToLogsOnError"),
        terminated(1, "Error", "the\nlast words"),
    ),
    Case(
        "post-start-hook",
        pod(
            shell(
                "while ! test -f /tmp/hook; do sleep 0.1; done; cat /tmp/hook; " + RUN,
                lifecycle={"postStart": {"exec": {"command": ["sh", "-c", "echo hooked > /tmp/hook"]}}},
            )
        ),
        log="hooked",
    ),
    Case(
        "failed-post-start-hook",
        pod(shell(lifecycle={"postStart": {"exec": {"command": ["false"]}}})),
        restarted,
        events=("FailedPostStartHook", "Killing"),
    ),
    Case(
        "image-never",
        pod({**shell(), "image": "localhost/none:1", "imagePullPolicy": "Never"}),
        waiting("ErrImageNeverPull"),
    ),
    Case(
        "image-missing",
        pod({**shell(), "image": "127.0.0.1:1/none:1"}),
        waiting("ImagePullBackOff", "Back-off pulling image"),
        events=("Pulling", "Failed", "BackOff"),
    ),
    Case(
        "no-such-command",
        pod({**shell(), "command": ["/none"]}),
        lambda p: (
            waiting("RunContainerError|CrashLoopBackOff")(p)
            and restarted(p)
            and container(p)["lastState"]["terminated"]["reason"] == "StartError"
        ),
        messages=("/none",),
    ),
    Case(
        "no-such-command-and-no-second-try",
        pod({**shell(), "command": ["/none"]}, restartPolicy="Never"),
        lambda p: (
            phase("Failed")(p)
            and container(p)["state"]["terminated"]["exitCode"] == 128
            and "/none" in container(p)["state"]["terminated"]["message"]
        ),
    ),
]

ROOT = Path(__file__).resolve().parents[3]
# The image has no Python: the server runs with the machine's, seen below /host.
HOST = ["/usr", "/lib", "/lib64", str(ROOT), *([] if sys.base_prefix.startswith("/usr") else [sys.base_prefix])]


def grpc_server(probed: str) -> Object:
    """A pod that is Ready if its health server says that the service `probed` serves."""
    script = Path(__file__).with_name("grpc_server.py")
    container = shell(
        f"exec chroot /host {sys.executable} {script} 5000",
        readinessProbe={"grpc": {"port": 5000, "service": probed}, "periodSeconds": 1, "timeoutSeconds": 5},
        volumeMounts=[
            {"name": f"v{index}", "mountPath": f"/host{path}", "readOnly": True} for index, path in enumerate(HOST)
        ],
    )
    return pod(container, volumes=[{"name": f"v{i}", "hostPath": {"path": path}} for i, path in enumerate(HOST)])


PROBES = [
    Case("grpc-readiness", grpc_server("up")),
    Case(
        "grpc-not-serving",
        grpc_server("down"),
        lambda p: phase("Running")(p) and not is_true(p, "Ready"),
        events=("Unhealthy",),
    ),
    Case(
        "http-readiness",
        pod(shell(http_server(8080), readinessProbe={"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1})),
    ),
    Case(
        "http-not-ready",
        pod(shell(http_server(8080), readinessProbe={"httpGet": {"path": "/none", "port": 8080}, "periodSeconds": 1})),
        lambda p: phase("Running")(p) and not is_true(p, "Ready"),
        events=("Unhealthy",),
    ),
    Case(
        "tcp-readiness",
        pod(
            shell(
                http_server(81),
                ports=[{"name": "web", "containerPort": 81}],
                readinessProbe={"tcpSocket": {"port": "web"}, "periodSeconds": 1},
            )
        ),
    ),
    Case(
        "exec-liveness",
        pod(
            shell(
                "touch /tmp/ok; sleep 2; rm /tmp/ok; " + RUN,
                livenessProbe={"exec": {"command": ["cat", "/tmp/ok"]}, "periodSeconds": 1, "failureThreshold": 1},
            )
        ),
        restarted,
        events=("Unhealthy", "Killing"),
    ),
    Case(
        "startup-before-readiness",
        pod(
            shell(
                "sleep 2; touch /tmp/up; " + RUN,
                startupProbe={"exec": {"command": ["cat", "/tmp/up"]}, "periodSeconds": 1, "failureThreshold": 20},
                readinessProbe={"exec": {"command": ["true"]}, "periodSeconds": 1},
            )
        ),
    ),
    Case(
        "exec-probe-times-out",
        pod(shell(readinessProbe={"exec": {"command": ["sleep", "30"]}, "periodSeconds": 1, "timeoutSeconds": 1})),
        lambda p: phase("Running")(p) and not is_true(p, "Ready"),
        events=("Unhealthy",),
    ),
]
