"""What the packaged schemas say, and what it costs to load them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from api import schema
from api.registry import Entry, registry
from api.resources import Resource, find
from api.schema import data

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("group", "version", "plural", "kind", "namespaced", "short_names"),
    [
        ("", "v1", "pods", "Pod", True, ("po",)),
        ("", "v1", "nodes", "Node", False, ("no",)),
        ("apps", "v1", "deployments", "Deployment", True, ("deploy",)),
        ("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler", True, ("hpa",)),
        ("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", False, ("crd", "crds")),
        ("authorization.k8s.io", "v1", "subjectaccessreviews", "SubjectAccessReview", False, ()),
    ],
)
def test_built_in_resources_are_known(
    group: str, version: str, plural: str, kind: str, namespaced: bool, short_names: tuple[str, ...]
) -> None:
    entry = registry().find(group, version, plural)
    assert entry is not None
    assert entry.resource == Resource(group, version, plural, kind, namespaced)
    assert entry.short_names == short_names
    assert registry().by_kind(group, version, kind) == entry


@pytest.mark.parametrize(
    ("plural", "subresource", "kind", "verbs"),
    [
        ("pods", "eviction", "Eviction", ("create",)),
        ("pods", "exec", "PodExecOptions", ("create", "get")),
        ("pods", "log", "Pod", ("get",)),
        ("serviceaccounts", "token", "TokenRequest", ("create",)),
        ("namespaces", "finalize", "Namespace", ("update",)),
        ("replicationcontrollers", "scale", "Scale", ("get", "patch", "update")),
    ],
)
def test_subresources_carry_their_kind(plural: str, subresource: str, kind: str, verbs: tuple[str, ...]) -> None:
    entry = registry().find("", "v1", plural)
    assert entry is not None
    assert entry.subresources[subresource].kind == kind
    assert entry.subresources[subresource].verbs == verbs


def test_the_newer_version_of_a_group_is_preferred() -> None:
    assert registry().groups()["autoscaling"] == ["v2", "v1"]
    assert find("horizontalpodautoscalers.autoscaling").version == "v2"


def test_every_resource_has_a_schema_with_its_kind() -> None:
    for entry in registry().entries():
        kinds = schema.kinds_of(entry.definition)
        assert entry.resource.kind in {kind["kind"] for kind in kinds}


def test_every_reference_resolves() -> None:
    names = set(data.definitions())

    def references(value: object) -> list[str]:
        if isinstance(value, dict):
            own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
            return own + [name for inner in value.values() for name in references(inner)]
        return [name for inner in value for name in references(inner)] if isinstance(value, list) else []

    for name in names:
        assert set(references(schema.definition(name))) <= names


def test_an_added_resource_stays_in_its_own_registry() -> None:
    custom = Entry(Resource("example.com", "v1", "widgets", "Widget", True), "widget")
    grown = registry().with_entry(custom)
    assert grown.find("example.com", "v1", "widgets") is custom
    assert registry().find("example.com", "v1", "widgets") is None
    grown.remove("example.com", "v1", "widgets")
    assert grown.by_kind("example.com", "v1", "Widget") is None


def test_merge_keys_and_documentation_are_distilled() -> None:
    containers = schema.definition("io.k8s.api.core.v1.PodSpec")["properties"]["containers"]
    assert containers["x-kubernetes-patch-merge-key"] == "name"
    assert containers["x-kubernetes-list-map-keys"] == ["name"]
    assert schema.describe("io.k8s.api.core.v1.PodSpec", "containers").startswith("List of containers")


def test_loading_the_schemas_is_lean() -> None:
    program = """
import resource
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
from api import schema
from api.registry import registry
from api.schema import data
registry(); schema.definition("io.k8s.api.core.v1.Pod"); data.messages()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    kilobytes = int(subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True).stdout)
    assert kilobytes < 30_000
