"""`vaportrail service create`: from names to objects, all of them or none."""

from collections.abc import Sequence
from dataclasses import replace

import schema
from api_client import ApiClient, Conflict
from cli.objects import apply, lookup, paths, plan
from cli.objects.lookup import Found
from cli.objects.plan import Step
from cli.output import Failure
from cli.service.declaration import Backend, Fields, Port, Service, canonical, declared, holder

ATTEMPTS = 3  # to take the address that the server would choose, before another client does


async def create(client: ApiClient, service: Service) -> tuple[str, list[Step]]:
    """The VIP and what became of each object; those that stood already are unchanged. All or nothing."""
    await _refuse_foreign(client, service)
    standing = await _standing_vip(client, service)
    if service.vip and standing and standing != service.vip:
        raise Failure(
            f"the VIP of {service.name} is {standing}, and stays so; `vaportrail service delete` takes it away"
        )
    for attempt in range(1, ATTEMPTS + 1):
        address = service.vip or standing or await choose(client, service)
        try:
            return address, await apply.applied(client, declared(replace(service, vip=address)), None)
        except Conflict:
            if service.vip or attempt == ATTEMPTS:
                raise
    raise AssertionError("unreachable")


async def choose(client: ApiClient, service: Service) -> str:
    """The VIP that the server would give: it is asked, and nothing is changed."""
    for change in await plan.rehearsed(client, await plan.steps(client, holder(service))):
        if change["type"] == "instance-ip" and change["object"].get("instance_ip_address"):
            return str(change["object"]["instance_ip_address"])
    raise Failure("the server chose no address for the VIP; say --vip ADDRESS")


async def _standing_vip(client: ApiClient, service: Service) -> str | None:
    _, instance_ip = holder(service)
    uuid = await lookup.uuid(client, *instance_ip.key)
    found = await client.read("instance-ip", uuid, bare=True) if uuid else {}
    return canonical(str(found.get("instance_ip_address")))


async def _refuse_foreign(client: ApiClient, service: Service) -> None:
    """A loadbalancer of this name that has another interface is somebody else's."""
    uuid = await lookup.uuid(client, "loadbalancer", [*service.project, service.name])
    found = await client.read("loadbalancer", uuid, bare=True) if uuid else {}
    links = found.get("virtual_machine_interface_refs") or ()
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
    uuid = await lookup.uuid(client, "virtual-machine", [machine])
    found = await client.read("virtual-machine", uuid) if uuid else {}
    return found.get("virtual_machine_interface_back_refs") or []
