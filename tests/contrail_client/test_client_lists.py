"""Every way in which Contrail's client lists: anchors, fields, filters; over GET, and over POST beyond 25 ids."""

from types import SimpleNamespace
from typing import Any

import pytest
from contrail_objects import Maker, vnc_api

MANY = 26  # of ids: the client then asks by POST /list-bulk-collection


@pytest.fixture
def tree(vnc: Any, maker: Maker, project: Any) -> SimpleNamespace:
    """Two networks of a project, an interface in each; the first network is shared."""
    one = maker.make("virtual-network", name="one", is_shared=True)
    two = maker.make("virtual-network", name="two", display_name="second")
    interfaces = [maker.interface(network) for network in (one, two)]
    return SimpleNamespace(one=one, two=two, interfaces=interfaces)


def names(listed: dict[str, Any]) -> list[str]:
    ((_, items),) = listed.items()
    return [item["fq_name"][-1] for item in items]


def unknown(count: int) -> list[str]:
    return [f"00000000-0000-4000-8000-{number:012}" for number in range(count)]


def test_by_parent(vnc: Any, project: Any, tree: SimpleNamespace) -> None:
    assert names(vnc.virtual_networks_list(parent_id=project.uuid)) == ["one", "two"]
    assert names(vnc.virtual_networks_list(parent_fq_name=project.fq_name)) == ["one", "two"]
    assert names(vnc.virtual_networks_list(parent_id=[project.uuid, *unknown(3)])) == ["one", "two"]
    assert names(vnc.virtual_networks_list(parent_id=[project.uuid, *unknown(MANY)])) == ["one", "two"]
    assert names(vnc.virtual_networks_list(parent_id=unknown(1)[0])) == []
    assert names(vnc.virtual_networks_list(parent_fq_name=["default-domain", "nowhere"])) == []


def test_by_what_is_referred_to(vnc: Any, tree: SimpleNamespace) -> None:
    first, second = (interface.fq_name[-1] for interface in tree.interfaces)
    assert names(vnc.virtual_machine_interfaces_list(back_ref_id=tree.one.uuid)) == [first]
    both = [tree.one.uuid, tree.two.uuid]
    assert sorted(names(vnc.virtual_machine_interfaces_list(back_ref_id=both))) == sorted([first, second])
    assert names(vnc.virtual_machine_interfaces_list(back_ref_id=[tree.two.uuid, *unknown(MANY)])) == [second]
    assert vnc.virtual_machine_interfaces_list(back_ref_id=[]) == {"virtual-machine-interfaces": []}


def test_by_uuid_and_by_name(vnc: Any, tree: SimpleNamespace) -> None:
    asked = [tree.two.uuid, tree.one.uuid]
    assert names(vnc.virtual_networks_list(obj_uuids=asked)) == ["two", "one"]
    assert names(vnc.virtual_networks_list(obj_uuids=[*asked, *unknown(MANY)])) == ["two", "one"]
    assert names(vnc.virtual_networks_list(fq_names=[tree.one.fq_name, tree.two.fq_name])) == ["one", "two"]
    assert vnc.virtual_networks_list(obj_uuids=[]) == {"virtual-networks": []}


def test_anchors_are_joined(vnc: Any, project: Any, tree: SimpleNamespace) -> None:
    def listed(**more: Any) -> list[str]:
        return names(vnc.virtual_machine_interfaces_list(back_ref_id=tree.one.uuid, **more))

    first, second = tree.interfaces
    assert listed(parent_id=project.uuid, obj_uuids=[first.uuid, second.uuid]) == [first.fq_name[-1]]
    assert listed(obj_uuids=[second.uuid]) == []
    assert listed(parent_id=unknown(1)[0]) == []


@pytest.mark.parametrize("more", [0, MANY], ids=["GET", "POST"])
def test_in_full(more: int, vnc: Any, tree: SimpleNamespace) -> None:
    (found,) = vnc.virtual_networks_list(obj_uuids=[tree.two.uuid, *unknown(more)], detail=True)
    assert (found.uuid, found.name, found.display_name) == (tree.two.uuid, "two", "second")
    assert found.get_id_perms().enable
    assert found.get_perms2().owner
    assert [instance["to"][-1] for instance in found.get_routing_instances()] == ["two"]  # asked for when it is used
    (found,) = vnc.virtual_networks_list(
        obj_uuids=[tree.one.uuid, *unknown(more)], detail=True, fields=["virtual_machine_interface_back_refs"]
    )
    assert [ref["uuid"] for ref in found.virtual_machine_interface_back_refs] == [tree.interfaces[0].uuid]


@pytest.mark.parametrize("more", [0, MANY], ids=["GET", "POST"])
def test_with_fields(more: int, vnc: Any, project: Any, tree: SimpleNamespace) -> None:
    fields = ["display_name", "routing_instances", "virtual_machine_interface_back_refs", "network_policy_refs"]
    listed = vnc.virtual_networks_list(obj_uuids=[tree.two.uuid, *unknown(more)], fields=fields)
    (item,) = listed["virtual-networks"]
    assert item.pop("href").endswith(f"/virtual-network/{tree.two.uuid}")
    ((instance,), (interface,)) = (item.pop("routing_instances"), item.pop("virtual_machine_interface_back_refs"))
    assert item == {
        "uuid": tree.two.uuid,
        "fq_name": tree.two.fq_name,
        "parent_type": "project",
        "parent_uuid": project.uuid,
        "display_name": "second",
    }
    assert instance["to"] == [*tree.two.fq_name, "two"]
    assert interface == {"to": tree.interfaces[1].fq_name, "uuid": tree.interfaces[1].uuid, "attr": None}


@pytest.mark.parametrize("more", [0, MANY], ids=["GET", "POST"])
def test_counted(more: int, vnc: Any, project: Any, tree: SimpleNamespace) -> None:
    parents = [project.uuid, *unknown(more)]
    assert vnc.virtual_networks_list(parent_id=parents, count=True) == {"virtual-networks": {"count": 2}}


@pytest.mark.parametrize("more", [0, MANY], ids=["GET", "POST"])
@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"display_name": "second"}, ["two"]),
        ({"display_name": ["second", "one"]}, ["one", "two"]),
        ({"is_shared": True}, ["one"]),
        ({"is_shared": False}, ["two"]),
        ({"is_shared": True, "display_name": "second"}, []),
        ({"is_shared": "true"}, []),
        ({"perms2": '{"global_access": 7}'}, ["one"]),
        ({"nonsense": 1}, ["one", "two"]),
        ({"nonsense": 1, "display_name": "second"}, []),
        ({"router_external": True}, []),
    ],
)
def test_filtered(
    filters: dict[str, Any], expected: list[str], more: int, vnc: Any, project: Any, tree: SimpleNamespace
) -> None:
    parents = [project.uuid, *unknown(more)]
    assert names(vnc.virtual_networks_list(parent_id=parents, filters=filters)) == expected


def test_shared_ones_are_added(vnc: Any, maker: Maker, tree: SimpleNamespace) -> None:
    """A project asks for its own networks and those it may use: as Neutron does."""
    other = maker.make("project", parent=None)
    listed = names(vnc.virtual_networks_list(parent_id=other.uuid, shared=True))
    assert "one" in listed
    assert "two" not in listed


def test_without_links(vnc: Any, tree: SimpleNamespace) -> None:
    vnc.set_exclude_hrefs()
    (item,) = vnc.virtual_networks_list(obj_uuids=[tree.one.uuid])["virtual-networks"]
    assert item == {"uuid": tree.one.uuid, "fq_name": tree.one.fq_name}
    many = vnc.virtual_networks_list(obj_uuids=[tree.one.uuid, *unknown(MANY)])
    assert many == {"virtual-networks": [item]}


def test_of_any_type_by_its_name(vnc: Any, project: Any, tree: SimpleNamespace) -> None:
    assert names(vnc.resource_list("virtual-network", parent_id=project.uuid)) == ["one", "two"]
    with pytest.raises(vnc_api.ResourceTypeUnknownError):
        vnc.resource_list("virtual-nothing")
