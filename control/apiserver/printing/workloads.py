"""The columns of what makes pods: deployments, sets, jobs, autoscalers and disruption budgets.

Source: `kubectl get` of the original for the apps, batch, autoscaling and policy groups.
"""

from __future__ import annotations

from typing import Any

from api import objects
from api.objects import Object
from api.runtime import parse_timestamp
from control.apiserver.printing.columns import (
    AGE,
    CONTAINERS,
    IMAGES,
    NAME,
    NONE,
    UNKNOWN,
    UNSET,
    Cells,
    Column,
    Doc,
    Printer,
    age,
    boolean,
    containers_and_images,
    core,
    human_duration,
    labels_text,
    selector_text,
    shortened,
    since,
)  # fmt: skip

_APPS, _BATCH = "io.k8s.api.apps.v1.", "io.k8s.api.batch.v1."
_AUTOSCALING = "io.k8s.api.autoscaling.v2."
_METRICS_SHOWN = 2


def _parts(obj: Object) -> tuple[str, Object, Object]:
    return objects.name_of(obj), obj.get("spec") or {}, obj.get("status") or {}


def _deployment(deployment: Object, now: float) -> Cells:
    name, spec, status = _parts(deployment)
    return [
        name,
        f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 0)}",
        status.get("updatedReplicas", 0),
        status.get("availableReplicas", 0),
        age(deployment, now),
        *containers_and_images(spec.get("template")),
        selector_text(spec.get("selector")),
    ]


def _replica_set(replica_set: Object, now: float) -> Cells:
    name, spec, status = _parts(replica_set)
    selector = spec.get("selector")
    is_controller = replica_set.get("kind") == "ReplicationController"
    return [
        name,
        spec.get("replicas", 0),
        status.get("replicas", 0),
        status.get("readyReplicas", 0),
        age(replica_set, now),
        *containers_and_images(spec.get("template")),
        labels_text(selector) if is_controller else selector_text(selector),
    ]


def _daemon_set(daemon_set: Object, now: float) -> Cells:
    name, spec, status = _parts(daemon_set)
    fields = (
        "desiredNumberScheduled", "currentNumberScheduled", "numberReady", "updatedNumberScheduled", "numberAvailable",
    )  # fmt: skip
    pod_spec = (spec.get("template") or {}).get("spec") or {}
    return [
        name,
        *(status.get(field, 0) for field in fields),
        labels_text(pod_spec.get("nodeSelector")),
        age(daemon_set, now),
        *containers_and_images(spec.get("template")),
        selector_text(spec.get("selector")),
    ]


def _stateful_set(stateful_set: Object, now: float) -> Cells:
    name, spec, status = _parts(stateful_set)
    ready = f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 0)}"
    return [name, ready, age(stateful_set, now), *containers_and_images(spec.get("template"))]


def _controller_revision(revision: Object, now: float) -> Cells:
    owner = objects.controller_of(revision)
    controller = NONE
    if owner:
        group = str(owner.get("apiVersion", "")).rpartition("/")[0]
        kind = str(owner.get("kind", "")).lower()
        controller = f"{kind}.{group}/{owner.get('name')}" if group else f"{kind}/{owner.get('name')}"
    return [objects.name_of(revision), controller, revision.get("revision", 0), age(revision, now)]


def _job(job: Object, now: float) -> Cells:
    name, spec, status = _parts(job)
    succeeded, completions, parallelism = status.get("succeeded", 0), spec.get("completions"), spec.get("parallelism")
    if completions is not None:
        progress = f"{succeeded}/{completions}"
    elif parallelism and parallelism > 1:
        progress = f"{succeeded}/1 of {parallelism}"
    else:
        progress = f"{succeeded}/1"
    return [
        name,
        _job_word(job),
        progress,
        _job_duration(status, now),
        age(job, now),
        *containers_and_images(spec.get("template")),
        selector_text(spec.get("selector")),
    ]


def _job_word(job: Object) -> str:
    for word in ("Complete", "Failed"):
        if objects.is_true(job, word):
            return word
    if objects.is_deleting(job):
        return "Terminating"
    for word in ("Suspended", "FailureTarget", "SuccessCriteriaMet"):
        if objects.is_true(job, word):
            return word
    return "Running"


def _job_duration(status: Object, now: float) -> str:
    if not status.get("startTime"):
        return ""
    end = parse_timestamp(status["completionTime"]) if status.get("completionTime") else now
    return human_duration(end - parse_timestamp(status["startTime"]))


def _cron_job(cron_job: Object, now: float) -> Cells:
    name, spec, status = _parts(cron_job)
    template = ((spec.get("jobTemplate") or {}).get("spec")) or {}
    last = status.get("lastScheduleTime")
    return [
        name,
        spec.get("schedule", ""),
        spec.get("timeZone") or NONE,
        boolean(spec.get("suspend")),
        len(status.get("active") or []),
        since(last, now) if last else NONE,
        age(cron_job, now),
        *containers_and_images(template.get("template")),
        selector_text(template.get("selector")),
    ]


def _disruption_budget(budget: Object, now: float) -> Cells:
    name, spec, status = _parts(budget)
    limits = [
        str(spec[field]) if spec.get(field) is not None else "N/A" for field in ("minAvailable", "maxUnavailable")
    ]
    return [name, *limits, status.get("disruptionsAllowed", 0), age(budget, now)]


def _autoscaler(autoscaler: Object, now: float) -> Cells:
    name, spec, status = _parts(autoscaler)
    target = spec.get("scaleTargetRef") or {}
    minimum = spec.get("minReplicas")
    return [
        name,
        f"{target.get('kind', '')}/{target.get('name', '')}",
        _first_version_target(spec, status)
        if autoscaler.get("apiVersion") == "autoscaling/v1"
        else _metrics(spec, status),
        UNSET if minimum is None else str(minimum),
        spec.get("maxReplicas", 0),
        status.get("currentReplicas", 0),
        age(autoscaler, now),
    ]


def _first_version_target(spec: Object, status: Object) -> str:
    wanted, current = spec.get("targetCPUUtilizationPercentage"), status.get("currentCPUUtilizationPercentage")
    if wanted is None:
        return NONE
    return f"cpu: {UNKNOWN if current is None else f'{current}%'}/{wanted}%"


def _metrics(spec: Object, status: Object) -> str:
    currents = status.get("currentMetrics") or []
    texts = [
        _metric(metric, currents[index] if index < len(currents) else {})
        for index, metric in enumerate(spec.get("metrics") or [])
    ]
    return shortened(texts, NONE, limit=_METRICS_SHOWN, separator=", ")


def _metric(metric: Object, current: Object) -> str:
    kind = str(metric.get("type", ""))
    field = kind[:1].lower() + kind[1:]
    wanted, found = metric.get(field) or {}, (current.get(field) or {}).get("current") or {}
    target = wanted.get("target") or {}
    prefix = f"{wanted.get('name', '')}: " if kind in ("Resource", "ContainerResource") else ""
    if target.get("averageUtilization") is not None:
        utilization = found.get("averageUtilization")
        have: Any = UNKNOWN if utilization is None else f"{utilization}%"
        return f"{prefix}{have}/{target['averageUtilization']}%"
    if target.get("averageValue") is not None:
        average = " (avg)" if kind in ("External", "Object") else ""
        return f"{prefix}{found.get('averageValue', UNKNOWN)}/{target['averageValue']}{average}"
    return f"{prefix}{found.get('value', UNKNOWN)}/{target.get('value', UNKNOWN)}"


def _scale(scale: Object, now: float) -> Cells:
    name, spec, status = _parts(scale)
    return [name, spec.get("replicas", 0), status.get("replicas", 0), age(scale, now)]


def _replicated(owner: str, selector: str) -> tuple[Column, ...]:
    return (
        NAME,
        Column("Desired", "integer", Doc(f"{owner}Spec", "replicas")),
        Column("Current", "integer", Doc(f"{owner}Status", "replicas")),
        Column("Ready", "integer", Doc(f"{owner}Status", "readyReplicas")),
        AGE,
        CONTAINERS,
        IMAGES,
        Column("Selector", "string", Doc(f"{owner}Spec", selector), priority=1),
    )


_DAEMON_COLUMNS = {
    "Desired": "desiredNumberScheduled",
    "Current": "currentNumberScheduled",
    "Ready": "numberReady",
    "Up-to-date": "updatedNumberScheduled",
    "Available": "numberAvailable",
}

PRINTERS = {
    "Deployment": Printer(
        (
            NAME,
            Column("Ready", "string", "Number of the pod with ready state"),
            Column("Up-to-date", "integer", Doc(_APPS + "DeploymentStatus", "updatedReplicas")),
            Column("Available", "integer", Doc(_APPS + "DeploymentStatus", "availableReplicas")),
            AGE,
            CONTAINERS,
            IMAGES,
            Column("Selector", "string", Doc(_APPS + "DeploymentSpec", "selector"), priority=1),
        ),
        _deployment,
    ),
    "ReplicaSet": Printer(_replicated(_APPS + "ReplicaSet", "selector"), _replica_set),
    "ReplicationController": Printer(_replicated("io.k8s.api.core.v1.ReplicationController", "selector"), _replica_set),
    "DaemonSet": Printer(
        (
            NAME,
            *(Column(n, "integer", Doc(_APPS + "DaemonSetStatus", field)) for n, field in _DAEMON_COLUMNS.items()),
            Column("Node Selector", "string", core("PodSpec", "nodeSelector")),
            AGE,
            CONTAINERS,
            IMAGES,
            Column("Selector", "string", Doc(_APPS + "DaemonSetSpec", "selector"), priority=1),
        ),
        _daemon_set,
    ),
    "StatefulSet": Printer(
        (NAME, Column("Ready", "string", "Number of the pod with ready state"), AGE, CONTAINERS, IMAGES),
        _stateful_set,
    ),
    "ControllerRevision": Printer(
        (
            NAME,
            Column("Controller", "string", "Controller of the object"),
            Column("Revision", "string", Doc(_APPS + "ControllerRevision", "revision")),
            AGE,
        ),
        _controller_revision,
    ),
    "Job": Printer(
        (
            NAME,
            Column("Status", "string", "Status of the job."),
            Column("Completions", "string", Doc(_BATCH + "JobStatus", "succeeded")),
            Column("Duration", "string", "Time required to complete the job."),
            AGE,
            CONTAINERS,
            IMAGES,
            Column("Selector", "string", Doc(_BATCH + "JobSpec", "selector"), priority=1),
        ),
        _job,
    ),
    "CronJob": Printer(
        (
            NAME,
            Column("Schedule", "string", Doc(_BATCH + "CronJobSpec", "schedule")),
            Column("Timezone", "string", Doc(_BATCH + "CronJobSpec", "timeZone")),
            Column("Suspend", "boolean", Doc(_BATCH + "CronJobSpec", "suspend")),
            Column("Active", "integer", Doc(_BATCH + "CronJobStatus", "active")),
            Column("Last Schedule", "string", Doc(_BATCH + "CronJobStatus", "lastScheduleTime")),
            AGE,
            CONTAINERS,
            IMAGES,
            Column("Selector", "string", Doc(_BATCH + "JobSpec", "selector"), priority=1),
        ),
        _cron_job,
    ),
    "PodDisruptionBudget": Printer(
        (
            NAME,
            Column("Min Available", "string", "The minimum number of pods that must be available."),
            Column("Max Unavailable", "string", "The maximum number of pods that may be unavailable."),
            Column("Allowed Disruptions", "integer", "Calculated number of pods that may be disrupted at this time."),
            AGE,
        ),
        _disruption_budget,
    ),
    "HorizontalPodAutoscaler": Printer(
        (
            NAME,
            Column("Reference", "string", Doc(_AUTOSCALING + "HorizontalPodAutoscalerSpec", "scaleTargetRef")),
            Column("Targets", "string", Doc(_AUTOSCALING + "HorizontalPodAutoscalerSpec", "metrics")),
            Column("MinPods", "string", Doc(_AUTOSCALING + "HorizontalPodAutoscalerSpec", "minReplicas")),
            Column("MaxPods", "string", Doc(_AUTOSCALING + "HorizontalPodAutoscalerSpec", "maxReplicas")),
            Column("Replicas", "string", Doc(_AUTOSCALING + "HorizontalPodAutoscalerStatus", "currentReplicas")),
            AGE,
        ),
        _autoscaler,
    ),
    "Scale": Printer(
        (
            NAME,
            Column("Desired", "integer", Doc("io.k8s.api.autoscaling.v1.ScaleSpec", "replicas")),
            Column("Available", "integer", Doc("io.k8s.api.autoscaling.v1.ScaleStatus", "replicas")),
            AGE,
        ),
        _scale,
    ),
}
