"""Which controllers there are, and how a term of them is made.

Invariant: all of them share one set of informers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from api.client import Client
from api.informers import Informers
from api.loop import Loop, Loops
from api.runtime import Runtime
from control.controllers.account_tokens import AccountTokenController
from control.controllers.autoscaling.controller import HorizontalPodAutoscalerController
from control.controllers.bootstrap_tokens import BootstrapSigner, TokenCleaner
from control.controllers.certificates.approving import CsrApprovingController
from control.controllers.certificates.cleaning import CsrCleaningController
from control.controllers.certificates.pod_requests import PodCertificateCleaningController
from control.controllers.certificates.signing import CsrSigningController
from control.controllers.cluster_roles import ClusterRoleAggregationController
from control.controllers.context import Context, Options
from control.controllers.cronjob import CronJobController
from control.controllers.daemonset import DaemonSetController
from control.controllers.deployment.controller import DeploymentController
from control.controllers.disruption import DisruptionController
from control.controllers.endpoints import EndpointsController
from control.controllers.endpointslice import EndpointSliceController
from control.controllers.endpointslice_mirroring import EndpointSliceMirroringController
from control.controllers.ephemeral_volumes import EphemeralVolumeController
from control.controllers.garbage_collector import GarbageCollector
from control.controllers.job import JobController
from control.controllers.namespace import NamespaceController
from control.controllers.node_ipam import NodeIpamController
from control.controllers.node_lifecycle import NodeLifecycleController
from control.controllers.pod_gc import PodGarbageCollector
from control.controllers.protection import (
    ClaimProtectionController,
    ClassProtectionController,
    VolumeProtectionController,
)
from control.controllers.replicaset import ReplicaSetController
from control.controllers.replication_controller import ReplicationController
from control.controllers.resource_quota import ResourceQuotaController
from control.controllers.root_ca import RootCaController
from control.controllers.service_account import ServiceAccountController
from control.controllers.service_cidrs import ServiceCidrController
from control.controllers.stale_disruptions import StaleDisruptionController
from control.controllers.statefulset import StatefulSetController
from control.controllers.taint_eviction import TaintEvictionController
from control.controllers.ttl_after_finished import TtlAfterFinishedController
from control.controllers.volume_binder import VolumeBinder

Controller = Callable[[Context], Loop]

CONTROLLERS: tuple[Controller, ...] = (
    DeploymentController,
    ReplicaSetController,
    ReplicationController,
    StatefulSetController,
    DaemonSetController,
    JobController,
    CronJobController,
    TtlAfterFinishedController,
    DisruptionController,
    StaleDisruptionController,
    HorizontalPodAutoscalerController,
    EndpointSliceController,
    EndpointsController,
    EndpointSliceMirroringController,
    ServiceCidrController,
    NodeIpamController,
    NodeLifecycleController,
    TaintEvictionController,
    PodGarbageCollector,
    NamespaceController,
    GarbageCollector,
    ServiceAccountController,
    AccountTokenController,
    RootCaController,
    CsrApprovingController,
    CsrSigningController,
    CsrCleaningController,
    PodCertificateCleaningController,
    TokenCleaner,
    BootstrapSigner,
    ClusterRoleAggregationController,
    ResourceQuotaController,
    ClaimProtectionController,
    VolumeProtectionController,
    ClassProtectionController,
    VolumeBinder,
    EphemeralVolumeController,
)


def manager(
    client: Client, runtime: Runtime, options: Options, controllers: Sequence[Controller] = CONTROLLERS
) -> Loops:
    """One term of the controllers."""
    informers = Informers(client, runtime)
    context = Context(client, runtime, informers, options)
    return Loops(informers, [controller(context) for controller in controllers])
