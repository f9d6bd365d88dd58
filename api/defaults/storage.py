"""Defaults of storage.k8s.io.

Source: the storage group in the API reference.
"""

from __future__ import annotations

from api.defaults.fill import fill, fill_absent
from api.objects import Object


def _storage_class(storage_class: Object) -> None:
    fill(storage_class, reclaimPolicy="Delete", volumeBindingMode="Immediate")


def _csi_driver(driver: Object) -> None:
    fill_absent(
        driver["spec"],
        attachRequired=True,
        podInfoOnMount=False,
        storageCapacity=False,
        fsGroupPolicy="ReadWriteOnceWithFSType",
        volumeLifecycleModes=["Persistent"],
        requiresRepublish=False,
        seLinuxMount=False,
    )


DEFAULTERS = {"StorageClass": _storage_class, "CSIDriver": _csi_driver}
