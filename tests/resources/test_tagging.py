"""Which tags an object may have together."""

import pytest
from resource_client import DOMAIN, Client, to

from api_server.errors import BadRequest
from api_server.store.objects import Object

MESSAGE = "Tag type 'application' cannot be set multiple times on the same virtual-network resource type"


@pytest.fixture
async def network(client: Client) -> Object:
    return await client.create("virtual-network", (DOMAIN, "p1", "vn"))


async def tag(client: Client, tag_type: str, value: str) -> Object:
    return await client.create("tag", [f"{tag_type}={value}"], tag_type_name=tag_type, tag_value=value)


async def test_one_tag_of_a_type(client: Client, network: Object) -> None:
    tags = [await tag(client, "application", value) for value in "ab"]
    other = await tag(client, "tier", "a")
    with pytest.raises(BadRequest, match=MESSAGE):
        await client.update(network, tag_refs=[to(each) for each in tags])
    network = await client.update(network, tag_refs=[to(tags[0]), to(other)])
    with pytest.raises(BadRequest, match=MESSAGE):
        await client.ref_update(network, "ADD", tags[1])
    with pytest.raises(BadRequest, match=MESSAGE):
        await client.create("virtual-network", (DOMAIN, "p1", "vn2"), tag_refs=[to(each) for each in tags])
    await client.update(network, tag_refs=[to(tags[1])])


@pytest.mark.parametrize("tag_type", ["label", "neutron_fwaas", "neutron_tag"])
async def test_several_of_some(client: Client, network: Object, tag_type: str) -> None:
    tags = [await tag(client, tag_type, value) for value in "ab"]
    network = await client.update(network, tag_refs=[to(each) for each in tags])
    assert len(network.references["tag_refs"]) == 2
