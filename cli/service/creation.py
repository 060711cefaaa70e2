"""`vaportrail service create`: from names to objects, all of them or none."""

from collections.abc import Sequence
from dataclasses import replace

import schema
from api_client import ApiClient, Conflict, NotFound
from cli.objects import apply, lookup, paths, plan
from cli.objects.lookup import Found
from cli.objects.plan import Step
from cli.output import Failure
from cli.service.declaration import Backend, Fields, Port, Service, canonical, declared, holder

ATTEMPTS = 3  # to take the address that the server would choose, before another client does


async def create(client: ApiClient, service: Service) -> tuple[str, list[Step]]:
    """The VIP and what became of each object; those that stood already are unchanged. All or nothing."""
    await _refuse_foreign(client, service)
    for attempt in range(1, ATTEMPTS + 1):
        address = service.vip or await choose(client, service)
        try:
            return address, await apply.applied(client, declared(replace(service, vip=address)), None)
        except Conflict:
            if service.vip or attempt == ATTEMPTS:
                raise
    raise AssertionError("unreachable")


async def choose(client: ApiClient, service: Service) -> str:
    """The VIP that stands, or the one that the server would give: it is asked, and nothing is changed."""
    _, instance_ip = holder(service)
    try:
        uuid = await client.fqname_to_id("instance-ip", instance_ip.fq_name)
        return str((await client.read("instance-ip", uuid))["instance_ip_address"])
    except (NotFound, KeyError):
        steps = await plan.steps(client, holder(service))
    for change in await plan.rehearsed(client, steps):
        if change["type"] == "instance-ip" and tuple(change["fq_name"]) == instance_ip.fq_name:
            return str(change["object"]["instance_ip_address"])
    raise Failure("the server chose no address for the VIP; say --vip ADDRESS")


async def _refuse_foreign(client: ApiClient, service: Service) -> None:
    """A loadbalancer of this name that has another interface is somebody else's."""
    try:
        uuid = await client.fqname_to_id("loadbalancer", [*service.project, service.name])
    except NotFound:
        return
    links = (await client.read("loadbalancer", uuid)).get("virtual_machine_interface_refs") or ()
    if links and [each["to"] for each in links] != [[*service.project, f"{service.name}-vip"]]:
        shown = paths.show("loadbalancer", [*service.project, service.name])
        raise Failure(f"{shown} exists and was not made by `vaportrail service create`")


async def resolve(
    client: ApiClient, name: str, vip: str | None, network: str, project: str | None, ports: Sequence[Port],
    backends: Sequence[str],
) -> Service:  # fmt: skip
    """The network's project, unless another is named."""
    types = schema.load().types
    found = await lookup.named(client, types["virtual-network"], network.removeprefix("virtual-network/"))
    home = found.fq_name[:-1]
    if project is not None:
        home = (await lookup.named(client, types["project"], project.removeprefix("project/"))).fq_name
    members = [await _backend(client, text) for text in backends]
    return Service(name, home, found.fq_name, vip, ports, members)


async def _backend(client: ApiClient, text: str) -> Backend:
    """An address, a pod by the name of its virtual-machine, or an interface."""
    if found := canonical(text):
        return Backend(found.replace(":", "-"), found)
    interface = await _interface(client, text)
    links = (await client.read("virtual-machine-interface", interface.uuid)).get("instance_ip_back_refs") or ()
    for link in links:
        if own := (await client.read("instance-ip", link["uuid"])).get("instance_ip_address"):
            return Backend(interface.fq_name[-1], own, interface.uuid)
    raise Failure(f"{interface.path} has no instance-ip with an address, so nothing can be sent to it")


async def _interface(client: ApiClient, text: str) -> Found:
    kind = schema.load().types["virtual-machine-interface"]
    name = text.removeprefix(f"{kind.name}/")
    links = await _interfaces(client, text) if name == text else []
    if len(links) > 1:
        raise Failure(f"--backend {text}: the pod has {len(links)} interfaces; name one, {kind.name}/NAME")
    if links:
        return Found(kind, links[0]["uuid"], tuple(links[0]["to"]))
    try:
        return await lookup.named(client, kind, name)
    except Failure as failure:
        raise Failure(f"--backend {text}: no pod of this name has an interface, and {failure}") from None


async def _interfaces(client: ApiClient, machine: str) -> Sequence[Fields]:
    """Links to the interfaces of a virtual-machine; none if there is no such machine."""
    try:
        found = await client.read("virtual-machine", await client.fqname_to_id("virtual-machine", [machine]))
    except NotFound:
        return []
    return found.get("virtual_machine_interface_back_refs") or []
