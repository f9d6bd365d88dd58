"""The rules: what must hold at every committed revision, and what must hold at rest.

A rule is a function over the history that yields a sentence for each way in which it is broken. `Limits` are what
a scenario declares: some rules cannot be known from the objects alone.

Invariant: a rule only looks; its name is what reports, documents and deliberate bugs call it by.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from simulation.history import Change, History

from api.objects import Object, is_deleting, is_true, key_of, labels_of, namespace_of, uid_of
from api.quantities import parse

NO_OVERCOMMIT = "no overcommitted node"
NEVER_REBOUND = "a bound pod is never rebound"
ONE_PER_ORDINAL = "at most one pod a StatefulSet ordinal"
AVAILABILITY = "never fewer available than maxUnavailable and budgets allow"
NO_ORPHAN = "no orphan after its owner is gone"
QUOTA = "quotas are never exceeded"
WATCH = "watch equals list plus deltas"
ACKNOWLEDGED = "acknowledged writes persist"
ONE_LEADER = "no two leaders act at once"
CONVERGENCE = "convergence after faults stop"
IDEMPOTENT = "reconcile is idempotent"
COUNTED_ONCE = "a Job counts every pod once"
NODES_RUN = "nodes run what is bound to them and nothing else"
ENDPOINTS = "endpoints are the ready pods"
NO_CRASH = "no task of a component fails"

RULES = (
    NO_OVERCOMMIT,
    NEVER_REBOUND,
    ONE_PER_ORDINAL,
    AVAILABILITY,
    NO_ORPHAN,
    QUOTA,
    WATCH,
    ACKNOWLEDGED,
    ONE_LEADER,
    CONVERGENCE,
    IDEMPOTENT,
    COUNTED_ONCE,
    NODES_RUN,
    ENDPOINTS,
    NO_CRASH,
)

_ENDED = ("Succeeded", "Failed")
_TRACKED = "batch.kubernetes.io/job-tracking"


@dataclass(slots=True)
class Limits:
    """What a scenario declares: pods labelled app=KEY that are Ready and stay must never be fewer than VALUE."""

    fewest: dict[str, int] = field(default_factory=dict)


Rule = Callable[[History, Limits, Change], Iterator[str]]


def phase(pod: Object) -> str:
    """The pod's phase, Pending if absent."""
    return str((pod.get("status") or {}).get("phase") or "Pending")


def never_rebound(history: History, limits: Limits, change: Change) -> Iterator[str]:
    """A pod's node never changes once it is set."""
    old, new = change.old, change.new
    if old is None or new is None or uid_of(old) != uid_of(new):
        return
    before, now = old["spec"].get("nodeName") or "", new["spec"].get("nodeName") or ""
    if before and now != before:
        yield f"{change.name} went from {before} to {now or 'no node'}"


def not_overcommitted(history: History, limits: Limits, change: Change) -> Iterator[str]:
    """The requests of a node's pods fit into what it offers."""
    name = change.new["spec"].get("nodeName") if change.new else ""
    node = history.get("nodes", name) if name else None
    if node is None:
        return
    pods = [pod for pod in history.objects("pods") if pod["spec"].get("nodeName") == name and phase(pod) not in _ENDED]
    room = node["status"]["allocatable"]
    for resource in ("cpu", "memory"):
        asked = sum(requested(pod, resource) for pod in pods)
        if asked > parse(room[resource]).milli():
            yield f"{name}: {resource} {asked}m of {room[resource]}"
    if len(pods) > int(room["pods"]):
        yield f"{name}: {len(pods)} pods of {room['pods']}"


def enough_available(history: History, limits: Limits, change: Change) -> Iterator[str]:
    """As many pods of an app are Ready and stay as the scenario declares."""
    for app, fewest in limits.fewest.items():
        pods = [pod for pod in history.objects("pods") if labels_of(pod).get("app") == app]
        count = sum(1 for pod in pods if is_true(pod, "Ready") and not is_deleting(pod))
        if count < fewest:
            yield f"{app}: {count} of {fewest}"


def within_quota(history: History, limits: Limits, change: Change) -> Iterator[str]:
    """A pod that comes into a namespace still fits into the namespace's quotas."""
    if change.old is not None or change.new is None:
        return
    namespace = namespace_of(change.new)
    pods = [pod for pod in history.objects("pods") if namespace_of(pod) == namespace and phase(pod) not in _ENDED]
    for quota in history.objects("resourcequotas"):
        if namespace_of(quota) != namespace or "hard" not in (quota.get("status") or {}):
            continue
        hard = quota["spec"]["hard"]
        if "pods" in hard and len(pods) > int(hard["pods"]):
            yield f"{key_of(quota)}: {len(pods)} pods of {hard['pods']}"
        if "requests.cpu" in hard:
            asked = sum(requested(pod, "cpu") for pod in pods)
            if asked > parse(hard["requests.cpu"]).milli():
                yield f"{key_of(quota)}: cpu {asked}m of {hard['requests.cpu']}"


OF_PODS: Mapping[str, Rule] = {
    NEVER_REBOUND: never_rebound,
    NO_OVERCOMMIT: not_overcommitted,
    AVAILABILITY: enough_available,
    QUOTA: within_quota,
}


def no_orphans(history: History) -> Iterator[str]:
    """Whatever has owners has one that is there."""
    alive = {uid_of(obj) for _, obj in history.everything()}
    for plural, obj in history.everything():
        owners = obj["metadata"].get("ownerReferences") or []
        if owners and not any(owner["uid"] in alive for owner in owners):
            yield f"{plural} {key_of(obj)}"


def converged(history: History) -> Iterator[str]:
    """Every workload has the pods that it asks for."""
    for plural in ("replicasets", "statefulsets"):
        for owner in history.objects(plural):
            pods = _living(history, owner)
            wanted = owner["spec"].get("replicas", 1)
            if len(pods) != wanted:
                yield f"{plural} {key_of(owner)} has {len(pods)} pods of {wanted}"
    nodes = {node["metadata"]["name"] for node in history.objects("nodes")}
    for owner in history.objects("daemonsets"):
        places = sorted(_bound_to(pod) for pod in _living(history, owner))
        if places != sorted(nodes):
            yield f"daemonset {key_of(owner)} runs on {places}, the nodes are {sorted(nodes)}"


def _living(history: History, owner: Object) -> list[Object]:
    return [pod for pod in history.owned("pods", owner) if not is_deleting(pod) and phase(pod) not in _ENDED]


def _bound_to(pod: Object) -> str:
    return pod["spec"].get("nodeName") or ""


def counted_once(history: History) -> Iterator[str]:
    """A finished Job's numbers are those of the pods that really ended that way, and as many as were asked for."""
    ended: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for change in history.changes["pods"]:
        pod = change.new
        # A pod that the controller let go of before its end is one that it did not need any more.
        if pod is None or _TRACKED not in (pod["metadata"].get("finalizers") or []):
            continue
        for owner in pod["metadata"].get("ownerReferences") or []:
            ended[owner["uid"]]["Failed" if _vanishes(pod) else phase(pod)].add(uid_of(pod))
    for job in history.objects("jobs"):
        status = job.get("status") or {}
        if not is_true(job, "Complete"):
            continue
        if int(status.get("succeeded") or 0) != job["spec"]["completions"]:
            yield f"{key_of(job)} is complete with {status.get('succeeded', 0)} of {job['spec']['completions']}"
        for word, kind in (("succeeded", "Succeeded"), ("failed", "Failed")):
            really = len(ended[uid_of(job)][kind])
            if int(status.get(word) or 0) != really:
                yield f"{key_of(job)} says {word}={status.get(word, 0)}, and {really} pods were"


def _vanishes(pod: Object) -> bool:
    """Whether nobody will tell how the pod ended: it has no node to do so, or is deleted without grace."""
    if phase(pod) in _ENDED or not is_deleting(pod):
        return False
    return not pod["spec"].get("nodeName") or pod["metadata"].get("deletionGracePeriodSeconds") == 0


def endpoints_true(history: History) -> Iterator[str]:
    """A Service's slices name the addresses of its ready pods, each once."""
    for service in history.objects("services"):
        selector = service["spec"].get("selector")
        if not selector:
            continue
        ready = sorted(
            pod["status"]["podIP"]
            for pod in history.objects("pods")
            if namespace_of(pod) == namespace_of(service)
            and selector.items() <= labels_of(pod).items()
            and is_true(pod, "Ready")
        )
        named = sorted(_named(history.objects("endpointslices"), service))
        if ready != named:
            yield f"{key_of(service)} names {named}, ready are {ready}"


def _named(slices: Iterable[Object], service: Object) -> Iterator[str]:
    for one in slices:
        if labels_of(one).get("kubernetes.io/service-name") != service["metadata"]["name"]:
            continue
        for endpoint in one.get("endpoints") or []:
            if (endpoint.get("conditions") or {}).get("ready"):
                yield from endpoint["addresses"]


AT_REST: Mapping[str, Callable[[History], Iterator[str]]] = {
    NO_ORPHAN: no_orphans,
    CONVERGENCE: converged,
    COUNTED_ONCE: counted_once,
    ENDPOINTS: endpoints_true,
}


def requested(pod: Object, resource: str) -> int:
    """The thousandths of a resource that a pod's containers ask for."""
    containers: list[Object] = pod["spec"]["containers"]
    return sum(
        parse(((one.get("resources") or {}).get("requests") or {}).get(resource, "0")).milli() for one in containers
    )
