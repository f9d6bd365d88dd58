"""Which custom resources are served: the established definitions, as the watch cache shows them.

Invariant: whoever has seen a definition established in a watch finds its resource served, and after it is gone not.
Source: apiextensions-apiserver/pkg/apiserver/customresource_handler.go and customresource_discovery_controller.go.
"""

from __future__ import annotations

from collections.abc import Callable

from api.custom import definitions
from api.objects import Object, is_true
from api.registry import Entry, Registry
from control.apiserver.cache import Cache
from control.apiserver.cached import METADATA_FIELDS, CachedObject
from control.apiserver.custom.converting import conversion
from control.apiserver.custom.served import CustomVersion
from control.apiserver.custom.strategy import CustomStrategy
from control.apiserver.endpoint import Endpoint
from control.apiserver.hooks.client import Hooks

GROUP, PLURAL = "apiextensions.k8s.io", "customresourcedefinitions"


class CustomResources:
    """Keeps a registry's custom entries true, and makes their endpoints."""

    def __init__(self, cache: Cache, registry: Registry, hooks: Hooks) -> None:
        self._cache = cache
        self._registry = registry
        self._hooks = hooks
        self._served: dict[str, list[CustomVersion]] = {}
        self._endpoints: dict[tuple[str, str, str], Endpoint] = {}
        self._listeners: list[Callable[[], None]] = []
        self._by_address: dict[tuple[str, str, str], CustomVersion] = {}
        cache.collection(GROUP, PLURAL).observe(self._changed)

    def listen(self, listener: Callable[[], None]) -> None:
        """Call `listener` after what is served has changed."""
        self._listeners.append(listener)

    def version(self, entry: Entry) -> CustomVersion | None:
        """What a definition says of a served resource, None for a built-in one."""
        resource = entry.resource
        return self._by_address.get((resource.group, resource.version, resource.plural))

    def endpoint(self, group: str, version: str, plural: str) -> Endpoint | None:
        """The endpoint of a custom resource, None if it is not one."""
        found = self._endpoints.get((group, version, plural))
        if found is None:
            custom = self._by_address.get((group, version, plural))
            if custom is None:
                return None
            found = self._endpoints[group, version, plural] = self._make(custom)
        return found

    def _make(self, custom: CustomVersion) -> Endpoint:
        storage = CustomVersion(custom.definition, definitions.storage_version(custom.definition))
        resource = custom.entry.resource
        return Endpoint(
            custom.entry,
            storage.entry,
            CustomStrategy(custom),
            self._cache.collection(resource.group, resource.plural),
            conversion(custom, storage, self._hooks),
            custom,
        )

    def _changed(self, old: CachedObject | None, new: CachedObject | None) -> None:
        found = new or old
        assert found is not None
        for custom in self._served.pop(found.key, []):
            resource = custom.entry.resource
            address = resource.group, resource.version, resource.plural
            self._registry.remove(*address)
            self._by_address.pop(address, None)
            self._endpoints.pop(address, None)
        if new is not None and is_true(definition := new.object(), "Established"):
            self._serve(new.key, definition)
        elif old is not None and new is None:
            spec = old.object()["spec"]
            self._cache.collection(spec["group"], spec["names"]["plural"]).drop_all()
        for listener in self._listeners:
            listener()

    def _serve(self, name: str, definition: Object) -> None:
        versions = [CustomVersion(definition, entry.resource.version) for entry in definitions.entries(definition)]
        self._served[name] = versions
        fields = dict(METADATA_FIELDS)
        for custom in versions:
            resource = custom.entry.resource
            self._registry.add(custom.entry)
            self._by_address[resource.group, resource.version, resource.plural] = custom
            fields |= custom.fields
        collection = self._cache.collection(definition["spec"]["group"], definition["spec"]["names"]["plural"])
        if collection.fields != fields:
            collection.select_by(fields, self._cache.revision)
