"""The resources whose strategy has a file of its own.

Invariant: a resource is named once.
"""

from __future__ import annotations

from collections.abc import Callable

from control.apiserver.strategies.base import Strategy
from control.apiserver.strategies.definitions import DefinitionStrategy
from control.apiserver.strategies.events import EventStrategy
from control.apiserver.strategies.flow import FlowStrategy
from control.apiserver.strategies.jobs import JobStrategy
from control.apiserver.strategies.namespaces import NamespaceStrategy
from control.apiserver.strategies.nodes import NodeStrategy
from control.apiserver.strategies.pod_certificates import PodCertificateStrategy
from control.apiserver.strategies.pods import PodStrategy
from control.apiserver.strategies.requests import RequestStrategy
from control.apiserver.strategies.secrets import SecretStrategy
from control.apiserver.strategies.services import ServiceStrategy

SPECIAL: dict[tuple[str, str], Callable[[], Strategy]] = {
    ("", "events"): EventStrategy,
    ("", "namespaces"): NamespaceStrategy,
    ("", "nodes"): NodeStrategy,
    ("", "pods"): PodStrategy,
    ("", "secrets"): SecretStrategy,
    ("", "services"): ServiceStrategy,
    ("apiextensions.k8s.io", "customresourcedefinitions"): DefinitionStrategy,
    ("events.k8s.io", "events"): EventStrategy,
    ("batch", "jobs"): JobStrategy,
    ("certificates.k8s.io", "certificatesigningrequests"): RequestStrategy,
    ("certificates.k8s.io", "podcertificaterequests"): PodCertificateStrategy,
    ("flowcontrol.apiserver.k8s.io", "flowschemas"): FlowStrategy,
    ("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations"): FlowStrategy,
}
