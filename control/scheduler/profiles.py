"""Which plugins run for which schedulerName, and how much their scores weigh.

Invariant: the order of plugins is the order in which a node's first refusal is looked for.
Source: kube-scheduler's default plugins and weights.
"""

from __future__ import annotations

from collections.abc import Mapping

from control.scheduler.cycle import Profile
from control.scheduler.framework import ClusterPlugin, NodePlugin, Wake
from control.scheduler.plugins.balanced_allocation import BalancedAllocation
from control.scheduler.plugins.dynamic_resources import DynamicResources
from control.scheduler.plugins.image_locality import ImageLocality
from control.scheduler.plugins.inter_pod_affinity import InterPodAffinity
from control.scheduler.plugins.node_affinity import NodeAffinity
from control.scheduler.plugins.node_name import NodeName
from control.scheduler.plugins.node_ports import NodePorts
from control.scheduler.plugins.node_resources_fit import NodeResourcesFit
from control.scheduler.plugins.node_unschedulable import NodeUnschedulable
from control.scheduler.plugins.taint_toleration import TaintToleration
from control.scheduler.plugins.topology_spread import PodTopologySpread
from control.scheduler.plugins.volume_binding import VolumeBinding
from control.scheduler.plugins.volume_limits import NodeVolumeLimits
from control.scheduler.plugins.volume_restrictions import VolumeRestrictions
from control.scheduler.plugins.volume_zone import VolumeZone

DEFAULT_NAME = "default-scheduler"

NODE_PLUGINS: tuple[NodePlugin, ...] = (
    NodeUnschedulable(),
    NodeName(),
    TaintToleration(),
    NodeAffinity(),
    NodePorts(),
    NodeResourcesFit(),
    BalancedAllocation(),
    DynamicResources(),
)
CLUSTER_PLUGINS: tuple[ClusterPlugin, ...] = (
    VolumeRestrictions(),
    NodeVolumeLimits(),
    VolumeBinding(),
    VolumeZone(),
    PodTopologySpread(),
    InterPodAffinity(),
    ImageLocality(),
)
WEIGHTS: Mapping[str, float] = {
    "TaintToleration": 3,
    "NodeAffinity": 2,
    "PodTopologySpread": 2,
    "InterPodAffinity": 2,
    "NodeResourcesFit": 1,
    "NodeResourcesBalancedAllocation": 1,
    "ImageLocality": 1,
}


def default_profile(name: str = DEFAULT_NAME) -> Profile:
    """The profile of pods that ask for no other scheduler."""
    return Profile(name, NODE_PLUGINS, CLUSTER_PLUGINS, dict(WEIGHTS))


def bind_seconds(profile: Profile) -> float:
    """How long a pod of this profile that has its node waits for its claims to be bound."""
    return next(one.bind_seconds for one in profile.cluster_plugins if isinstance(one, VolumeBinding))


def wakes(profiles: Mapping[str, Profile]) -> dict[str, frozenset[Wake]]:
    """For each plugin, the events that may help a pod that it refused."""
    found: dict[str, frozenset[Wake]] = {}
    for profile in profiles.values():
        found |= {plugin.name: plugin.wakes for plugin in profile.node_plugins}
        found |= {plugin.name: plugin.wakes for plugin in profile.cluster_plugins}
    return found
