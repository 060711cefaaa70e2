"""`vaportrail service delete`: what goes with a service."""

import schema
from api_client import ApiClient
from cli.objects import lookup, removal
from cli.objects.lookup import Found


async def parts(client: ApiClient, name: str) -> list[Found]:
    """All that a service is made of, in the order in which it can be deleted. An interface of its VIP that something
    else uses as well stays."""
    types = schema.load().types
    balancer = await lookup.named(client, types["loadbalancer"], name.removeprefix("loadbalancer/"))
    order = await removal.closure(client, [balancer])
    links = (await client.read("loadbalancer", balancer.uuid)).get("virtual_machine_interface_refs") or ()
    for link in links:
        interface = Found(types["virtual-machine-interface"], link["uuid"], tuple(link["to"]))
        users = [each for each in await removal.closure(client, [interface]) if each not in order]
        if {each.type.name for each in users} <= {"virtual-machine-interface", "instance-ip"}:
            order += users
    return order
