"""What volumes are made of, of pods and persistent ones: one row a rule of a source."""

from __future__ import annotations

from typing import Any

import pytest
from test_validation import made, put, sentences

pytestmark = pytest.mark.unit

ONCE = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
SECRET = {"name": "s", "namespace": "n"}
OF_PODS: list[tuple[dict[str, Any], list[str]]] = [
    ({"gitRepo": {"directory": "../d"}},
     [".gitRepo.repository: Required value", ".gitRepo.directory: Invalid value: \"../d\": must not contain '..'"]),
    ({"gitRepo": {"repository": "r", "directory": "..d"}}, []),
    ({"gcePersistentDisk": {"partition": 256}},
     [".persistentDisk.pdName: Required value",
      ".persistentDisk.partition: Invalid value: 256: must be between 1 and 255, inclusive"]),
    ({"nfs": {"server": "s", "path": "p"}}, ['.nfs.path: Invalid value: "p": must be an absolute path']),
    ({"iscsi": {"targetPortal": "p", "iqn": "iqn.2015-02.example.com:disk", "lun": 0}}, []),
    ({"iscsi": {"targetPortal": "p", "iqn": "iqn.2015-02.example.com:a b", "lun": 256, "chapAuthSession": True}},
     ['.iscsi.iqn: Invalid value: "iqn.2015-02.example.com:a b": must be valid format',
      ".iscsi.lun: Invalid value: 256: must be between 0 and 255, inclusive", ".iscsi.secretRef: Required value"]),
    ({"iscsi": {"targetPortal": "p" * 70, "iqn": "eui.0123456789abcdef", "lun": 0, "initiatorName": "x"}},
     ['.iscsi.initiatorname: Invalid value: "x": must be valid format starting with iqn, eui, or naa',
      '.name: Invalid value: "v": Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if '
      "iscsi.initiatorName is specified."]),
    ({"glusterfs": {}}, [".glusterfs.endpoints: Required value", ".glusterfs.path: Required value"]),
    ({"flocker": {}}, [".flocker: Required value: one of datasetName and datasetUUID is required"]),
    ({"flocker": {"datasetName": "a/b", "datasetUUID": "u"}},
     ['.flocker: Invalid value: "resource": datasetName and datasetUUID can not be specified simultaneously',
      ".flocker.datasetName: Invalid value: \"a/b\": must not contain '/'"]),
    ({"rbd": {"monitors": [], "image": "i"}}, [".rbd.monitors: Required value"]),
    ({"cinder": {"volumeID": "v", "secretRef": {}}}, [".cinder.secretRef.name: Required value"]),
    ({"quobyte": {"registry": "host", "volume": "v"}},
     ['.quobyte.registry: Invalid value: "host": must be a host:port pair or multiple pairs separated by commas']),
    ({"quobyte": {"registry": "a:1,[::1]:2", "volume": "v"}}, []),
    ({"fc": {}}, [".fc.targetWWNs: Required value: must specify either targetWWNs or wwids, but not both"]),
    ({"fc": {"targetWWNs": ["w"]}}, [".fc.lun: Required value: lun is required if targetWWNs is specified"]),
    ({"flexVolume": {"driver": "d", "options": {"x.k8s.io/y": "z"}}},
     ['.flexVolume.options[x.k8s.io/y]: Invalid value: "x.k8s.io/y": kubernetes.io and k8s.io namespaces are '
      "reserved"]),
    ({"azureDisk": {"diskName": "d", "diskURI": "disk", "kind": "Managed"}},
     ['.azureDisk.diskURI: Unsupported value: "disk": supported values: "/subscriptions/{sub-id}/resourcegroups/'
      '{group-name}/providers/microsoft.compute/disks/{disk-id}"']),
    ({"scaleIO": {"gateway": "g", "system": "s"}}, [".scaleIO.volumeName: Required value"]),
    ({"csi": {"driver": "Example.COM"}}, []),
    ({"csi": {"driver": "x" * 64}},
     [".csi.driver: Too long: may not be more than 63 bytes"]),
    ({"downwardAPI": {"items": [{"path": "/a", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}]}},
     ['.downwardAPI.path: Invalid value: "/a": must be a relative path']),
    ({"hostPath": {"path": "/"}, "emptyDir": {}}, [".hostPath: Forbidden: may not specify more than 1 volume type"]),
    ({"ephemeral": {}}, [".ephemeral.volumeClaimTemplate: Required value"]),
    ({"ephemeral": {"volumeClaimTemplate": {"metadata": {"labels": {"a": "b"}}, "spec": ONCE}}}, []),
    ({"ephemeral": {"volumeClaimTemplate": {"metadata": {"finalizers": ["a/b"]}, "spec": ONCE | {"accessModes": []}}}},
     [".ephemeral.volumeClaimTemplate.metadata.finalizers: Forbidden: cannot be set for an ephemeral volume",
      ".ephemeral.volumeClaimTemplate.spec.accessModes: Required value: at least 1 access mode is required"]),
]  # fmt: skip


@pytest.mark.parametrize(("source", "wanted"), OF_PODS, ids=lambda value: "-".join(value)[:40])
def test_a_volume_of_a_pod(source: dict[str, Any], wanted: list[str]) -> None:
    pod = made("v1/Pod", put("spec/volumes", [{"name": "v"} | source]))
    assert sentences(pod) == [f"spec.volumes[0]{sentence}" for sentence in wanted]


def test_claims_that_a_pod_brings_have_names_of_their_own() -> None:
    volumes = [
        {"name": "data", "ephemeral": {"volumeClaimTemplate": {"spec": ONCE}}},
        {"name": "other", "persistentVolumeClaim": {"claimName": "x-data"}},
    ]
    assert sentences(made("v1/Pod", put("spec/volumes", volumes))) == [
        'spec.volumes[1].persistentVolumeClaim.claimName: Invalid value: "x-data": must not reference a PVC that gets '
        "created for an ephemeral volume"
    ]


def test_a_path_below_a_volume_may_begin_with_two_dots_where_nothing_is_written_there() -> None:
    def pod(name: str) -> list[str]:
        mount = {"name": "v", "mountPath": "/v", "subPath": name}
        spec = {"containers": [{"name": "c", "image": "i", "volumeMounts": [mount]}]}
        return sentences(made("v1/Pod", put("spec", spec | {"volumes": [{"name": "v", "emptyDir": {}}]})))

    assert pod("..data") == []
    assert pod("../data") == [
        "spec.containers[0].volumeMounts.subPath: Invalid value: \"../data\": must not contain '..'"
    ]


SOMEWHERE = {"required": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "Exists"}]}]}}
PERSISTENT: list[tuple[dict[str, Any], list[str]]] = [
    ({"local": {"path": "/d"}, "nodeAffinity": SOMEWHERE}, []),
    ({"local": {"path": "/d"}}, ["spec.nodeAffinity: Required value: Local volume requires node affinity"]),
    ({"local": {"path": ""}, "nodeAffinity": SOMEWHERE}, ["spec.local.path: Required value"]),
    ({"local": {"path": "/d/.."}, "nodeAffinity": {}},
     ["spec.nodeAffinity.required: Required value: must specify required node constraints",
      "spec.local.path: Invalid value: \"/d/..\": must not contain '..'"]),
    ({"hostPath": {"path": "/"}, "persistentVolumeReclaimPolicy": "Recycle"},
     ["spec.persistentVolumeReclaimPolicy: Forbidden: may not be 'recycle' for a hostPath mount of '/'"]),
    ({"hostPath": {"path": "/d"}, "volumeMode": "Tape", "storageClassName": "-"},
     ['spec.storageClassName: Invalid value: "-": a lowercase RFC 1123 subdomain must consist of lower case '
      "alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', "
      "regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
      'spec.volumeMode: Unsupported value: "Tape": supported values: "Block", "Filesystem"']),
    ({"hostPath": {"path": "/d"}, "capacity": {"storage": "0"}},
     ['spec.capacity[storage]: Invalid value: "0": must be greater than zero']),
    ({"csi": {"driver": "d", "volumeHandle": "h", "nodePublishSecretRef": SECRET}}, []),
    ({"csi": {"driver": "d", "controllerExpandSecretRef": {"name": "s"}}},
     ["spec.csi.volumeHandle: Required value", "spec.csi.controllerExpandSecretRef.namespace: Required value"]),
    ({"cinder": {"volumeID": "v", "secretRef": {"name": "s"}}}, ["spec.cinder.secretRef.namespace: Required value"]),
    ({"glusterfs": {"endpoints": "e", "path": "p", "endpointsNamespace": ""}},
     ['spec.glusterfs.endpointsNamespace: Invalid value: "": if the endpointnamespace is set, it must be a valid '
      "namespace name"]),
    ({"azureFile": {"secretName": "s", "shareName": "s", "secretNamespace": ""}},
     ["spec.azureFile.secretNamespace: Required value"]),
    ({}, ["spec: Required value: must specify a volume type"]),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "wanted"), PERSISTENT, ids=lambda value: "-".join(value)[:40])
def test_a_persistent_volume(spec: dict[str, Any], wanted: list[str]) -> None:
    common = {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}}
    assert sentences(made("v1/PersistentVolume", put("spec", common | spec))) == wanted


def test_the_class_of_a_claim_may_move_from_its_annotation_to_its_field_only() -> None:
    annotation = "volume.beta.kubernetes.io/storage-class"
    by_field = {"spec": ONCE | {"storageClassName": "fast"}}
    old = made("v1/PersistentVolumeClaim", lambda claim: claim["metadata"].update(annotations={annotation: "fast"}))
    assert sentences(made("v1/PersistentVolumeClaim", lambda claim: claim.update(by_field)), old) == []
    assert sentences(made("v1/PersistentVolumeClaim"), old) == [
        f'metadata.annotations.{annotation}: Invalid value: "": field is immutable'
    ]
