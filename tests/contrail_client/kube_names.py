"""Words of kube-manager's that all of its objects share."""

from typing import Any

from vnc_api import vnc_api

CLUSTER = "k8s"
DOMAIN = "default-domain"
MANAGEMENT = ["default-policy-management"]


def annotate(target: Any, kind: str, namespace: str | None, **more: str) -> None:
    """The client sends annotations after the create, as elements of a map. Values may be null."""
    own = {"kind": kind, "owner": "k8s", "cluster": CLUSTER, "namespace": namespace}
    for key, value in (own | more).items():
        target.add_annotations(vnc_api.KeyValuePair(key, value))
