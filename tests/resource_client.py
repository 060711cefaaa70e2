"""Requests as a client makes them, each a write of its own to a store, without HTTP in between.

For tests of what is special about types: bodies are validated, references resolved and hooks run as in the server.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import schema
from api_server.resources import body, elements, references, tagging
from api_server.resources.defaults import ensure_defaults
from api_server.resources.operations import Operations
from api_server.resources.registry import registry
from api_server.store import Store
from api_server.store.objects import Object
from api_server.store.transaction import Transaction

DOMAIN = "default-domain"
IPAM = (DOMAIN, "default-project", "default-network-ipam")

T = TypeVar("T")


class Client:
    def __init__(self, store: Store, *, native_driver: bool = True) -> None:
        self.store = store
        self.model = schema.load()
        self.operations = Operations(self.model, registry(native_driver=native_driver))

    async def start(self, project: str) -> None:
        """The default objects and one project."""
        await self.call(ensure_defaults)
        await self.create("project", (DOMAIN, project))

    async def call(self, call: Callable[[Transaction], T]) -> T:
        """In one write transaction."""
        result, _ = await self.store.write(call, request_id="test", user="test", base_url="http://test")
        return result

    async def create(self, type: str, fq_name: Sequence[str], **fields: Any) -> Object:
        """The object as it stands after all that followed from it."""
        asked = body.read_create(self.model.types[type], {type: {"fq_name": list(fq_name), **fields}})

        def work(tx: Transaction) -> Object:
            found = tx.get(self.operations.create(tx, asked).uuid)
            assert found is not None
            return found

        return await self.call(work)

    async def update(self, object: Object, **fields: Any) -> Object:
        kind = self.model.types[object.type]
        asked = body.read_update(kind, {object.type: fields})

        def work(tx: Transaction) -> Object:
            found = tx.get(self.operations.update(tx, kind, object.uuid, asked).uuid)
            assert found is not None
            return found

        return await self.call(work)

    async def delete(self, object: Object) -> None:
        await self.call(lambda tx: self.operations.delete(tx, self.model.types[object.type], object.uuid))

    async def ref_update(self, object: Object, operation: str, target: Object, attr: Any = None) -> None:
        asked = references.read_ref_update(self.model, {
            "type": object.type, "uuid": object.uuid, "ref-type": target.type, "ref-uuid": target.uuid,
            "operation": operation, "attr": attr,
        })  # fmt: skip
        await self.call(lambda tx: references.ref_update(self.operations, tx, asked))

    async def relax(self, object: Object, target: Object) -> None:
        await self.call(lambda tx: references.relax(self.operations, tx, object.uuid, target.uuid))

    async def set_tag(self, object: Object, **wishes: Any) -> Object:
        """The object with its tags. wishes: by tag type."""
        asked = tagging.read_set_tag(self.model, {"obj_type": object.type, "obj_uuid": object.uuid, **wishes})

        def work(tx: Transaction) -> Object:
            tagging.set_tag(self.operations, tx, asked)
            found = tx.get(object.uuid)
            assert found is not None
            return found

        return await self.call(work)

    async def annotate(self, object: Object, key: str, value: str | None) -> None:
        """By prop-collection-update, as Contrail's client sends every annotation. value: None takes it away."""
        update: dict[str, Any] = {"field": "annotations", "operation": "delete", "position": key}
        if value is not None:
            update = {"field": "annotations", "operation": "set", "value": {"key": key, "value": value}}
        await self.call(lambda tx: elements.collection_update(self.operations, tx, object.uuid, [update]))

    async def get(self, object: Object | str) -> Object | None:
        uuid = object if isinstance(object, str) else object.uuid
        return await self.call(lambda tx: tx.get(uuid))

    async def find(self, type: str, fq_name: Sequence[str]) -> Object:
        def work(tx: Transaction) -> Object:
            found = tx.get(tx.find(type, fq_name) or "")
            assert found is not None
            return found

        return await self.call(work)

    async def children(self, object: Object, type: str) -> list[Object]:
        return await self.call(lambda tx: tx.children(object.uuid, type))

    # --- what most tests need

    async def tag(self, type: str, value: str, project: Object | None = None, **fields: Any) -> Object:
        """Global, or a project's own."""
        scope = project.fq_name if project is not None else ()
        scoped = {"parent_type": "project"} if scope else {}
        return await self.create("tag", [*scope, "any"], tag_type_name=type, tag_value=value, **scoped, **fields)

    async def network(self, fq_name: Sequence[str], *prefixes: str, **fields: Any) -> Object:
        """With subnets of its own."""
        return await self.create(
            "virtual-network", fq_name, network_ipam_refs=[{"to": list(IPAM), "attr": subnets(*prefixes)}], **fields
        )

    async def flat_ipam(self, name: str, *prefixes: str) -> Object:
        """Whose subnets all networks that refer to it share; of project p1."""
        return await self.create(
            "network-ipam", (DOMAIN, "p1", name), ipam_subnet_method="flat-subnet",
            ipam_subnets={"subnets": [subnet(prefix) for prefix in prefixes]},
        )  # fmt: skip

    async def flat_network(self, name: str, ipam: Object, *prefixes: str, **fields: Any) -> Object:
        """Of project p1, with the ipam's subnets, as kube-manager refers to them; prefixes: subnets of its own."""
        own = [{"to": list(IPAM), "attr": subnets(*prefixes)}] if prefixes else []
        return await self.create(
            "virtual-network", (DOMAIN, "p1", name), virtual_network_properties={"forwarding_mode": "l3"},
            network_ipam_refs=[*own, to(ipam, {"ipam_subnets": [], "host_routes": None})], **fields,
        )  # fmt: skip

    async def interface(self, fq_name: Sequence[str], network: Object, **fields: Any) -> Object:
        return await self.create(
            "virtual-machine-interface", fq_name, parent_type="project", virtual_network_refs=[to(network)], **fields
        )

    async def instance_ip(self, name: str, network: Object, *interfaces: Object, **fields: Any) -> Object:
        links = [to(interface) for interface in interfaces]
        return await self.create(
            "instance-ip", [name], virtual_network_refs=[to(network)], virtual_machine_interface_refs=links, **fields
        )


def to(object: Object, attr: Any = None) -> dict[str, Any]:
    """A reference in a body."""
    return {"to": list(object.fq_name), "attr": attr}


def subnet(prefix: str, **more: Any) -> dict[str, Any]:
    """An IpamSubnetType."""
    address, length = prefix.split("/")
    return {"subnet": {"ip_prefix": address, "ip_prefix_len": int(length)}} | more


def subnets(*prefixes: str) -> dict[str, Any]:
    """A VnSubnetsType."""
    return {"ipam_subnets": [subnet(prefix) for prefix in prefixes]}
