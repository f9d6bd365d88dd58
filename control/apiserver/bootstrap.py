"""What must exist in every cluster and the API server itself makes: the system's namespaces first of all.

Invariant: run again at any time, it makes only what is missing.
"""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import orjson

from api import errors
from api.objects import Object, condition, is_deleting, set_condition
from api.runtime import Event
from api.volumes import LOCAL_PATH
from control.apiserver.admission.priority import SYSTEM_CLASSES
from control.apiserver.authentication.request_headers import EXTRA_PREFIX, GROUP_HEADER, USER_HEADER
from control.apiserver.authorization import default_roles
from control.apiserver.authorization.default_policy import completed_binding, completed_role
from control.apiserver.flow import defaults as flow_defaults
from control.apiserver.handlers.creating import create_object
from control.apiserver.handlers.decoding import completed
from control.apiserver.handlers.updating import update_object
from control.apiserver.identity import SERVER
from control.apiserver.operation import CREATE, UPDATE, Operation
from control.apiserver.server import ApiServer
from control.kvstore.store import StoreError

log = logging.getLogger(__name__)

NAMESPACES = ("kube-system", "default", "kube-public", "kube-node-lease")
_RBAC = "rbac.authorization.k8s.io"
_FLOW = "flowcontrol.apiserver.k8s.io"
_PERIOD = 30.0
FRONT_PROXY_AUTHORITY = "front-proxy-ca.crt"
FRONT_PROXY_NAMES = ["front-proxy-client"]
# The original's installers put DNS at the tenth address of the services' network.
_DNS_OFFSET = 10

# Directories on the nodes, for claims that name no class.
_LOCAL_CLASS: Object = {
    "metadata": {"name": "local-path", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
    "provisioner": LOCAL_PATH,
    "reclaimPolicy": "Delete",
    "volumeBindingMode": "WaitForFirstConsumer",
}

Complete = Callable[[Object, Object], Object | None]
"""From (what is there, what is wanted) to what should be there instead, None if it will do."""

_MAINTAINED_LEVEL: Complete = partial(flow_defaults.maintained, "PriorityLevelConfiguration")
_MAINTAINED_SCHEMA: Complete = partial(flow_defaults.maintained, "FlowSchema")


def _with(*fields: str) -> Complete:
    """Makes these fields what they should be."""

    def complete(present: Object, wanted: Object) -> Object | None:
        changed = {field: wanted[field] for field in fields if present.get(field) != wanted[field]}
        return present | changed if changed else None

    return complete


def _with_second_family(present: Object, wanted: Object) -> Object | None:
    """A cluster may become one of two address families; what else differs is left to the administrator."""
    before, now = present["spec"].get("cidrs") or [], wanted["spec"]["cidrs"]
    return present | {"spec": wanted["spec"]} if len(before) < len(now) and now[: len(before)] == before else None


def _reachable(address: str) -> bool:
    """Whether pods could reach this server there; a server for development listens on the loopback only."""
    parsed = ipaddress.ip_address(address or "::")
    return not parsed.is_unspecified and not parsed.is_loopback


class Bootstrap:
    """Makes what is missing, now and every half minute."""

    def __init__(self, server: ApiServer) -> None:
        self._server = server

    def start(self, stop: Event) -> None:
        """Once now, then in a task of its own until `stop`."""
        self.once()
        self._server.runtime.spawn("bootstrap", self._run, stop)

    def _run(self, stop: Event) -> None:
        while not stop.wait(_PERIOD):
            self.once()

    def once(self) -> None:
        """Make what is missing."""
        try:
            for name in NAMESPACES:
                self.ensure("", "v1", "namespaces", {"metadata": {"name": name}})
            for role in default_roles.cluster_roles():
                self.ensure(_RBAC, "v1", "clusterroles", role, completed_role)
            for binding in default_roles.cluster_role_bindings():
                self.ensure(_RBAC, "v1", "clusterrolebindings", binding, completed_binding)
            for role in default_roles.roles():
                self.ensure(_RBAC, "v1", "roles", role, completed_role)
            for binding in default_roles.role_bindings():
                self.ensure(_RBAC, "v1", "rolebindings", binding, completed_binding)
            for level in flow_defaults.priority_levels():
                self.ensure(_FLOW, "v1", "prioritylevelconfigurations", level, _MAINTAINED_LEVEL)
            for schema in flow_defaults.flow_schemas():
                self.ensure(_FLOW, "v1", "flowschemas", schema, _MAINTAINED_SCHEMA)
            for name, (value, description) in SYSTEM_CLASSES.items():
                self.ensure(
                    "scheduling.k8s.io",
                    "v1",
                    "priorityclasses",
                    {"metadata": {"name": name}, "value": value, "description": description},
                )
            self.ensure("storage.k8s.io", "v1", "storageclasses", _LOCAL_CLASS)
            self._service_network()
            self._own_service()
            self._dns_service()
            self._extension_authentication()
        except (errors.ApiError, StoreError) as error:
            log.warning("bootstrap objects could not be made, trying again: %s", error)

    def _service_network(self) -> None:
        """The ServiceCIDR `kubernetes`: the networks that addresses of Services are taken from."""
        spec = {"cidrs": [str(network) for network in self._server.config.service_networks]}
        default = {"metadata": {"name": "kubernetes"}, "spec": spec}
        self.ensure("networking.k8s.io", "v1", "servicecidrs", default, _with_second_family)
        endpoint = self._server.endpoint("networking.k8s.io", "v1", "servicecidrs")
        operation = Operation(self._server, endpoint, UPDATE, SERVER, name="kubernetes", subresource="status")
        found = self._server.cache.peek(operation.key())
        if found is not None and (is_deleting(found.object()) or condition(found.object(), "Ready")):
            return
        ready = {"type": "Ready", "status": "True", "message": "Kubernetes default Service CIDR is ready"}

        def completed_status(current: Object) -> Object:
            conditions = current.setdefault("status", {}).setdefault("conditions", [])
            set_condition(conditions, ready | {"reason": ""}, self._server.now())
            return current

        update_object(operation, completed_status)

    def _own_service(self) -> None:
        """The `kubernetes` Service, and this server as its endpoint."""
        config = self._server.config
        metadata = {"name": "kubernetes", "namespace": "default"}
        labels = {"component": "apiserver", "provider": "kubernetes"}
        address = str(config.service_network[1])
        spec = {
            "clusterIP": address,
            "clusterIPs": [address],
            "type": "ClusterIP",
            "sessionAffinity": "None",
            "ports": [{"name": "https", "protocol": "TCP", "port": 443, "targetPort": config.advertise_port}],
        }
        self.ensure("", "v1", "services", {"metadata": metadata | {"labels": labels}, "spec": spec})
        if not _reachable(config.advertise_address):
            return
        port = {"name": "https", "port": config.advertise_port, "protocol": "TCP"}
        endpoints = {
            "metadata": metadata | {"labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}},
            "subsets": [{"addresses": [{"ip": config.advertise_address}], "ports": [port]}],
        }
        self.ensure("", "v1", "endpoints", endpoints, _with("subsets"))
        endpoint_slice = {
            "metadata": metadata | {"labels": {"kubernetes.io/service-name": "kubernetes"}},
            "addressType": f"IPv{ipaddress.ip_address(config.advertise_address).version}",
            "endpoints": [{"addresses": [config.advertise_address], "conditions": {"ready": True}}],
            "ports": [port],
        }
        self.ensure("discovery.k8s.io", "v1", "endpointslices", endpoint_slice, _with("endpoints", "ports"))

    def _dns_service(self) -> None:
        """The address of the cluster's DNS, which every node's proxy answers at unless pods of this Service do."""
        network = self._server.config.service_network
        if network.num_addresses <= _DNS_OFFSET:
            return
        address = str(network[_DNS_OFFSET])
        services = self._server.cache.collection("", "services").objects.values()
        if any((service.object().get("spec") or {}).get("clusterIP") == address for service in services):
            return
        labels = {"k8s-app": "kube-dns", "kubernetes.io/name": "CoreDNS"}
        spec = {
            "clusterIP": address,
            "clusterIPs": [address],
            "selector": {"k8s-app": "kube-dns"},
            "ports": [
                {"name": "dns", "protocol": "UDP", "port": 53, "targetPort": 53},
                {"name": "dns-tcp", "protocol": "TCP", "port": 53, "targetPort": 53},
            ],
        }
        metadata = {"name": "kube-dns", "namespace": "kube-system", "labels": labels}
        self.ensure("", "v1", "services", {"metadata": metadata, "spec": spec})

    def _extension_authentication(self) -> None:
        """What add-ons that serve an API read to know whom to believe (system config of delegated authentication)."""
        directory = self._server.config.pki_directory
        metadata = {"name": "extension-apiserver-authentication", "namespace": "kube-system"}
        data = {
            "requestheader-allowed-names": orjson.dumps(FRONT_PROXY_NAMES).decode(),
            "requestheader-extra-headers-prefix": orjson.dumps([EXTRA_PREFIX]).decode(),
            "requestheader-group-headers": orjson.dumps([GROUP_HEADER]).decode(),
            "requestheader-username-headers": orjson.dumps([USER_HEADER]).decode(),
        }
        files = {"client-ca-file": "ca.crt", "requestheader-client-ca-file": FRONT_PROXY_AUTHORITY}
        for field, name in files.items():
            if directory is not None and (directory / name).exists():
                data[field] = (directory / name).read_text()
        self.ensure("", "v1", "configmaps", {"metadata": metadata, "data": data}, _with("data"))

    def ensure(self, group: str, version: str, plural: str, obj: Object, complete: Complete | None = None) -> None:
        """Create an object unless it is there; what is there is completed by `complete`, if that finds it lacking."""
        endpoint = self._server.endpoint(group, version, plural)
        metadata = obj["metadata"]
        operation = Operation(self._server, endpoint, CREATE, SERVER, metadata.get("namespace", ""), metadata["name"])
        present = self._server.cache.peek(operation.key())
        if present is None:
            with suppress(errors.AlreadyExists):
                create_object(operation, completed(operation, obj))
        elif complete is not None and complete(present.object(), obj) is not None:
            operation.verb = UPDATE
            update_object(operation, lambda old: complete(old, obj) or old)
