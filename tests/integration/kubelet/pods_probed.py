"""What probes do to pods, and what hooks see: the cases of the original's tests of nodes."""

from __future__ import annotations

from pod_case import RUN, Case, container, http_server, is_steady, phase, pod, restarted, shell

from api.objects import Object, is_true
from api.runtime import parse_timestamp


def answers(port: int, *scripts: tuple[str, str], first: str = "true") -> str:
    """A web server whose pages below /cgi-bin are what small scripts write."""
    made = " ".join(
        f"printf '#!/bin/sh\\n%s\\n' {_quoted(script)} > /www/cgi-bin/{name}; chmod +x /www/cgi-bin/{name};"
        for name, script in scripts
    )
    return f"mkdir -p /www/cgi-bin; echo ok > /www/index.html; {made} {first}; exec httpd -f -p {port} -h /www"


def page(status: str, *headers: str) -> str:
    """A script that answers with a status and headers."""
    lines = "".join(f"{line}\\r\\n" for line in (f"Status: {status}", *headers))
    return f'printf "{lines}\\r\\n"'


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def probe(path: str = "/", port: int = 8080, **more: object) -> Object:
    return {"httpGet": {"path": path, "port": port}, "periodSeconds": 1, "timeoutSeconds": 5, **more}


def command(text: str, **more: object) -> Object:
    return {"exec": {"command": ["sh", "-c", text]}, "periodSeconds": 1, "timeoutSeconds": 5, **more}


def unready(found: Object) -> bool:
    return phase("Running")(found) and not is_true(found, "Ready") and not restarted(found)


# A server by TLS that is there before any pod: the kubelet's own, asked by itself.
KUBELET = {"host": "127.0.0.1", "port": 10250, "scheme": "HTTPS", "path": "/healthz"}
ELSEWHERE = page("302 Found", "Location: http://0.0.0.0/elsewhere")
LATER = "sleep 2; rm -f /tmp/ok; " + RUN

PROBED = [
    Case(
        "restarted-by-http-liveness",
        pod(
            shell(
                answers(8080, ("bad", page("500 Internal Server Error"))),
                livenessProbe=probe("/cgi-bin/bad", failureThreshold=1),
            )
        ),
        restarted,
        messages=(
            "Liveness probe failed: HTTP probe failed with statuscode: 500",
            "Container app failed liveness probe, will be restarted",
        ),
    ),
    Case(
        "restarted-by-a-redirect-that-fails",
        pod(
            shell(
                answers(
                    8080,
                    ("away", page("302 Found", "Location: /cgi-bin/bad")),
                    ("bad", page("500 Internal Server Error")),
                ),
                livenessProbe=probe("/cgi-bin/away", failureThreshold=1),
            )
        ),
        restarted,
        messages=("Liveness probe failed: HTTP probe failed with statuscode: 500",),
    ),
    Case(
        "not-restarted-by-a-redirect-elsewhere",
        pod(shell(answers(8080, ("away", ELSEWHERE)), livenessProbe=probe("/cgi-bin/away", failureThreshold=10))),
        is_steady(3),
        messages=("Liveness probe warning: Probe terminated redirects, Response body: ",),
        events=("ProbeWarning",),
    ),
    Case(
        "restarted-by-tcp-liveness",
        # Its end is a good one, after which it would not run again but for the probe.
        pod(
            shell(livenessProbe={"tcpSocket": {"port": 8081}, "periodSeconds": 1, "failureThreshold": 1}),
            restartPolicy="OnFailure",
        ),
        restarted,
        messages=("Liveness probe failed: dial tcp ", ":8081: connect: connection refused"),
    ),
    Case(
        "not-restarted-by-tcp-liveness",
        pod(
            shell(
                http_server(8080),
                livenessProbe={"tcpSocket": {"port": 8080}, "periodSeconds": 1, "failureThreshold": 10},
            )
        ),
        is_steady(3),
    ),
    Case(
        "not-restarted-by-exec-liveness",
        pod(shell("touch /tmp/ok; " + RUN, livenessProbe=command("cat /tmp/ok"))),
        is_steady(3),
    ),
    Case(
        "restarted-by-exec-that-takes-long",
        pod(shell(livenessProbe=command("sleep 10", timeoutSeconds=1, failureThreshold=1))),
        restarted,
        messages=('Liveness probe failed: command "sh -c sleep 10" timed out',),
    ),
    Case(
        "restarted-by-grpc-that-nobody-serves",
        pod(shell(livenessProbe={"grpc": {"port": 5001}, "periodSeconds": 1, "failureThreshold": 1})),
        restarted,
        events=("Unhealthy", "Killing"),
    ),
    Case(
        "restarted-by-startup",
        pod(shell(startupProbe=command("false", failureThreshold=2), livenessProbe=command("true"))),
        restarted,
        messages=("Container app failed startup probe, will be restarted",),
    ),
    Case(
        "not-restarted-before-startup",
        pod(
            shell(
                startupProbe=command("false", failureThreshold=900), livenessProbe=command("false", failureThreshold=1)
            )
        ),
        lambda p: is_steady(4)(p) and container(p)["started"] is False,
    ),
    Case(
        "restarted-after-startup",
        pod(
            shell(
                "sleep 2; touch /tmp/up; " + RUN,
                startupProbe=command("cat /tmp/up", failureThreshold=60),
                livenessProbe=command("false", failureThreshold=1),
            )
        ),
        restarted,
        messages=("Container app failed liveness probe, will be restarted",),
    ),
    Case(
        "ready-as-soon-as-started",
        pod(
            shell(
                "sleep 2; touch /tmp/up; " + RUN,
                startupProbe=command("cat /tmp/up", failureThreshold=60),
                readinessProbe=command("true", periodSeconds=300),
            )
        ),
    ),
    Case(
        "not-ready-and-not-restarted",
        pod(shell(readinessProbe=command("false"))),
        lambda p: unready(p) and is_steady(3)(p),
        messages=("Readiness probe failed: command terminated with exit code 1",),
    ),
    Case(
        "not-ready-before-its-delay",
        pod(shell(readinessProbe=command("true", initialDelaySeconds=6))),
        lambda p: is_true(p, "Ready") and ready_after(p) >= 5,
    ),
    *(
        Case(
            f"own-grace-of-a-{probe}-probe",
            pod(
                shell(
                    "trap '' TERM; while true; do sleep 0.1; done",
                    **{f"{probe}Probe": command("false", failureThreshold=1, terminationGracePeriodSeconds=1)},
                ),
                terminationGracePeriodSeconds=500,
            ),
            restarted,
        )
        for probe in ("liveness", "startup")
    ),
    Case(
        "probed-by-header",
        pod(
            shell(
                answers(8080, ("who", 'test "$HTTP_X_WHO" = probe && ' + page("200 OK") + " || " + page("403 No"))),
                readinessProbe={
                    "httpGet": {
                        "path": "/cgi-bin/who?a=b",
                        "port": 8080,
                        "httpHeaders": [{"name": "X-Who", "value": "probe"}],
                    },
                    "periodSeconds": 1,
                },
            )
        ),
    ),
    Case(
        "sidecar-is-probed",
        pod(
            shell(),
            initContainers=[
                {
                    **shell("sleep 1; touch /tmp/up; " + RUN),
                    "name": "side",
                    "restartPolicy": "Always",
                    "startupProbe": command("cat /tmp/up", failureThreshold=60),
                    "readinessProbe": command("false"),
                }
            ],
        ),
        lambda p: phase("Running")(p) and not is_true(p, "Ready") and container(p)["ready"],
    ),
    Case(
        "sidecar-is-restarted-by-liveness",
        pod(
            shell(),
            initContainers=[
                {
                    **shell(LATER),
                    "name": "side",
                    "restartPolicy": "Always",
                    "livenessProbe": command("false", failureThreshold=1),
                }
            ],
        ),
        lambda p: int(container(p, "initContainerStatuses").get("restartCount") or 0) >= 1,
    ),
    Case(
        "readiness-gate",
        pod(readinessGates=[{"conditionType": "example.com/ready"}]),
        lambda p: phase("Running")(p) and is_true(p, "ContainersReady") and not is_true(p, "Ready"),
    ),
    Case("probed-by-https", pod(shell(readinessProbe={"httpGet": KUBELET, "periodSeconds": 1}))),
    Case("hook-by-https", pod(shell(lifecycle={"postStart": {"httpGet": KUBELET}}))),
    Case(
        "hook-by-https-that-is-refused",
        pod(shell(lifecycle={"postStart": {"httpGet": {**KUBELET, "path": "/pods"}}})),
        is_steady(3),
    ),
    Case(
        "hook-by-http-that-nobody-serves",
        pod(shell(lifecycle={"postStart": {"httpGet": {"path": "/", "port": 8089}}})),
        restarted,
        events=("FailedPostStartHook",),
    ),
    Case(
        "hook-that-sleeps",
        pod(shell(lifecycle={"postStart": {"sleep": {"seconds": 3}}})),
        lambda p: is_true(p, "Ready") and ready_after(p) >= 3,
    ),
    Case(
        "hook-that-fails-says-why",
        pod(shell(lifecycle={"postStart": {"exec": {"command": ["sh", "-c", "echo why; exit 3"]}}})),
        restarted,
        messages=("FailedPostStartHook: PostStartHook failed\n", "Killing: FailedPostStartHook"),
    ),
]


def ready_after(found: Object) -> float:
    """Seconds from the start of the container until the pod was Ready."""
    began = parse_timestamp(container(found)["state"]["running"]["startedAt"])
    turned = next(e for e in found["status"]["conditions"] if e["type"] == "Ready")["lastTransitionTime"]
    return parse_timestamp(turned) - began
