"""Every kind of damage that a check knows: what is done to a database, and what has to be said of it."""

from collections.abc import Callable
from uuid import uuid4

import orjson
from care_world import Damage

GHOST = "0badc0de-0000-4000-8000-000000000000"

Case = Callable[[Damage], None]
CASES: dict[str, tuple[Case, dict[str, str]]] = {}
"""name -> (what is done, kind of finding -> a part of its text)"""
LOSSY: set[str] = set()
"""Cases after which not all is as it was."""


def case(*, lossy: bool = False, **kinds: str) -> Callable[[Case], Case]:
    def add(damaging: Case) -> Case:
        CASES[damaging.__name__] = damaging, {kind.replace("_", "-"): text for kind, text in kinds.items()}
        if lossy:
            LOSSY.add(damaging.__name__)
        return damaging

    return add


@case(dangling=f"refers to project {GHOST}, which is not there")
def a_reference_to_nothing(damage: Damage) -> None:
    source = damage.uuid("virtual-network", "vn")
    damage.run(f"insert into reference values ('{source}', '{GHOST}', 'virtual-network', 'project', null, 0)")


@case(dangling="it is not there, but its reference to project")
def a_reference_of_nothing(damage: Damage) -> None:
    target = damage.uuid("project", "default-domain:p1")
    damage.run(f"insert into reference values ('{GHOST}', '{target}', 'virtual-network', 'project', null, 0)")


@case(status=f"it is of object {GHOST}, which is not there")
def a_status_of_nothing(damage: Damage) -> None:
    damage.run(
        "insert into node (name, revision, reported, stale) values ('n1', 1, 1, 0)",
        f"insert into status values ('{GHOST}', 'n1', 'ONLINE', 'ACTIVE', '', 1, 1, 0)",
    )


@case(stamp="it is at stamp 0, a status has 7")
def a_stamp_that_was_not_given(damage: Damage) -> None:
    uuid = damage.uuid("virtual-network", "vn")
    damage.run(
        "insert into node (name, revision, reported, stale) values ('n1', 1, 1, 0)",
        f"insert into status values ('{uuid}', 'n1', 'ONLINE', 'ACTIVE', '', 1, 1, 7)",
    )


@case(scope="do not see it")
def an_object_that_is_shown_to_nobody(damage: Damage) -> None:
    damage.run("delete from concern where type='loadbalancer-member'")


@case(scope="see it, whom it does not concern")
def an_object_that_is_shown_to_others(damage: Damage) -> None:
    uuid = damage.uuid("virtual-network", "vn")
    damage.run(f"insert into concern values ('{uuid}', 'node:n1', 'virtual-network')")


@case(reference_type="it is loadbalancer-pool to loadbalancer-listener", unlinked="", scope="see it, whom")
def a_reference_of_another_type(damage: Damage) -> None:
    damage.run("update reference set from_type='project' where from_type='loadbalancer-pool'")


@case(reference_kind="virtual-network has no references to domain")
def a_reference_that_cannot_be(damage: Damage) -> None:
    source, target = damage.uuid("virtual-network", "vn"), damage.uuid("domain", "default-domain")
    damage.run(f"insert into reference values ('{source}', '{target}', 'virtual-network', 'domain', null, 0)")


@case(lossy=True, reference_attribute="is not in the form of the model")
def an_attribute_as_text(damage: Damage) -> None:
    source = damage.uuid("virtual-machine-interface", "vip")
    attr = damage.run(f"select attr from reference where from_uuid='{source}' and to_type='routing-instance'")[0][0]
    sent = orjson.dumps({**orjson.loads(attr), "vlan_tag": "0"}).decode()
    damage.run(f"update reference set attr='{sent}' where from_uuid='{source}' and to_type='routing-instance'")


@case(readable="the attribute of its reference to network-ipam")
def an_attribute_that_is_no_json(damage: Damage) -> None:
    source = damage.uuid("virtual-network", "vn")
    damage.run(f"update reference set attr='{{' where from_uuid='{source}' and to_type='network-ipam'")


@case(one_sided="which does not refer to it")
def half_a_reference(damage: Damage) -> None:
    damage.run(f"delete from reference where from_uuid='{damage.uuid('virtual-machine-interface', 'vip')}' "
               "and to_type='virtual-machine-interface'")  # fmt: skip


@case(lossy=True, one_sided="is not the same on the other side")
def two_halves_that_differ(damage: Damage) -> None:
    damage.run("update reference set origin=1 where to_type='virtual-machine-interface' "
               f"and from_uuid='{damage.uuid('virtual-machine-interface', 'vip')}'")  # fmt: skip


@case(parent="puts it below")
def a_parent_that_is_another(damage: Damage) -> None:
    damage.run(f"update resource set parent_uuid='{GHOST}' where type='virtual-network' and fq_name like '%:vn'")


@case(parent="its parent is the domain default-domain; a virtual-network needs one of ['project']")
def a_parent_that_cannot_be(damage: Damage) -> None:
    domain = damage.uuid("domain", "default-domain")
    damage.run(f"update resource set parent_uuid='{domain}' where type='virtual-network' and fq_name like '%:vn'")


@case(parent="it has no parent; a loadbalancer needs one of ['project']")
def no_parent(damage: Damage) -> None:
    damage.run("update resource set parent_uuid=null, parent_type=null where type='loadbalancer'")


@case(parent="it says domain")
def a_parent_of_another_type(damage: Damage) -> None:
    damage.run("update resource set parent_type='domain' where type='loadbalancer'")


@case(parent="which its name does not continue")
def a_name_of_another_place(damage: Damage) -> None:
    damage.run("update resource set fq_name='x:y:sg' where type='security-group' and fq_name like '%:p1:sg'")


@case(lossy=True, orphan="its parent loadbalancer-pool", dangling="it is not there", unlinked="")
def orphans(damage: Damage) -> None:
    """A pool's row is gone, its members stand."""
    damage.run("delete from resource where type='loadbalancer-pool'")


@case(type="the model has no type spaceship")
def a_type_nobody_knows(damage: Damage) -> None:
    damage.run(f"insert into resource values ('{GHOST}', 'spaceship', 's', null, null, '{{}}', null, 1, "
               "'2026-01-01T00:00:00.000000', '2026-01-01T00:00:00.000000', null)")  # fmt: skip


@case(readable="its properties are not a JSON object")
def properties_that_are_no_json(damage: Damage) -> None:
    damage.run("update resource set properties='{\"a\":' where type='loadbalancer'")


@case(readable="its positions are not a JSON object")
def positions_that_are_no_json(damage: Damage) -> None:
    damage.run("update resource set positions='[1]' where type='loadbalancer'")


@case(property="and positions for 2")
def positions_of_nothing(damage: Damage) -> None:
    member = damage.uuid("loadbalancer-member", "default-domain:p1:pool:by-vmi")
    damage.run(f"""update resource set positions='{{"annotations": ["0", "1"]}}' where uuid='{member}'""")


@case(readable="and 'yesterday' | takes those of id_perms")
def times_that_are_none(damage: Damage) -> None:
    damage.run("update resource set modified='yesterday' where type='loadbalancer'")


@case(type="its uuid is none")
def a_uuid_that_is_none(damage: Damage) -> None:
    damage.run("insert into resource values ('x', 'virtual-machine', 'x', null, null, "
               """'{"perms2": {"owner": "cloud-admin"}}', null, 1, """
               "'2026-01-01T00:00:00.000000', '2026-01-01T00:00:00.000000', 'cloud-admin')")  # fmt: skip


@case(owner="its row is owned by nobody, perms2 says cloud-admin")
def another_owner(damage: Damage) -> None:
    damage.run("update resource set owner='nobody' where type='loadbalancer'")


@case(property="virtual-network has no property colour")
def a_property_nobody_knows(damage: Damage) -> None:
    damage.properties(damage.uuid("virtual-network", "vn"), lambda found: found.update(colour="red"))


@case(lossy=True, property="is not in the form in which the server stores it")
def a_list_that_is_nothing(damage: Damage) -> None:
    uuid = damage.uuid("loadbalancer-pool", "pool")
    damage.properties(uuid, lambda found: found["loadbalancer_pool_properties"].update(admin_state=[]))


@case(property="value must be one of")
def a_value_that_cannot_be(damage: Damage) -> None:
    uuid = damage.uuid("loadbalancer-listener", "http")
    damage.properties(uuid, lambda found: found["loadbalancer_listener_properties"].update(protocol="SMTP"))


@case(id_perms="the halves of its uuid are")
def halves_of_another_uuid(damage: Damage) -> None:
    uuid = damage.uuid("loadbalancer", "lb")
    damage.properties(uuid, lambda found: found["id_perms"].update(uuid={"uuid_mslong": 1, "uuid_lslong": 2}))


@case(id_perms="created in id_perms are not those of the row")
def another_birthday(damage: Damage) -> None:
    uuid = damage.uuid("loadbalancer", "lb")
    damage.properties(uuid, lambda found: found["id_perms"].update(created="2001-01-01T00:00:00.000000"))


@case(lossy=True, id_perms="it has no perms2", owner="perms2 says None")
def no_perms2(damage: Damage) -> None:
    damage.properties(damage.uuid("loadbalancer", "lb"), lambda found: found.pop("perms2"))


@case(number="which is not taken: it could be given again", pool="not 10.1.0.1-10.1.0.12 ")
def an_address_that_is_not_taken(damage: Damage) -> None:
    damage.run(f"delete from allocation where holder='{damage.uuid('instance-ip', 'web-0')}'")


@case(number=f"which is taken for {GHOST}, which is no object", unheld="which is not there")
def an_address_taken_for_nobody(damage: Damage) -> None:
    damage.run(f"update allocation set holder='{GHOST}' where holder='{damage.uuid('instance-ip', 'web-0')}'")


@case(number="network id 6, which is not taken", pool="make")
def a_network_id_that_is_not_taken(damage: Damage) -> None:
    damage.run("delete from allocation where pool='virtual-network-id' and number like '%06'")


@case(lossy=True, double="network id 5, and so has", unheld="which does not have it")
def one_network_id_for_two(damage: Damage) -> None:
    uuid = damage.uuid("virtual-network", "other")
    damage.properties(uuid, lambda found: found.update(virtual_network_network_id=5))


@case(lossy=True, double="tag id 0x00ff0000, and so has", unheld="which does not have it")
def one_tag_id_for_two(damage: Damage) -> None:
    """Of one type; another gets another value of it."""
    tag, type_id = damage.uuid("tag", "site=x"), damage.uuid("tag-type", "ours")
    damage.run(
        "update resource set fq_name='default-domain:p1:ours=x' where type='tag' and fq_name like '%site=x'",
        f"update reference set to_uuid='{type_id}' where from_uuid='{tag}'",
    )
    damage.properties(tag, lambda found: found.update(tag_id="0x00ff0000", tag_type_name="ours", display_name="ours=x"))


@case(unheld="which is not there", pool="is free twice, or free and taken")
def an_address_nobody_has(damage: Damage) -> None:
    pool, number = damage.run("select pool, min(first) from free_range where pool like 'subnet:%' group by pool")[0]
    damage.run(f"insert into allocation values ('{pool}', '{number}', '{uuid4()}')")


@case(pool="make")
def free_addresses_lost(damage: Damage) -> None:
    damage.run("delete from free_range where pool like 'subnet:%'")


@case(pool="is free twice, or free and taken")
def free_addresses_twice(damage: Damage) -> None:
    pool, last = damage.run("select pool, max(last) from free_range where pool='security-group-id' group by pool")[0]
    damage.run(f"insert into free_range values ('{pool}', '{last}', '{last}')")


@case(pool="free ranges touch at")
def a_free_range_in_two(damage: Damage) -> None:
    first, last = damage.run("select first, last from free_range where pool='security-group-id'")[0]
    middle = int(first, 16) + 9
    damage.run(
        f"update free_range set last='{middle:032x}' where pool='security-group-id'",
        f"insert into free_range values ('security-group-id', '{middle + 1:032x}', '{last}')",
    )


@case(pool="the subnet it belongs to is not there")
def a_pool_of_no_subnet(damage: Damage) -> None:
    damage.run(f"insert into free_range values ('subnet:{GHOST}:10.0.0.0/8', '{1:032x}', '{2:032x}')")


@case(search_key="it is not found by address:", unlinked="")
def keys_lost(damage: Damage) -> None:
    damage.run("delete from search_key where key like 'address:%'")


@case(search_key="it is found by port:x:1, which it does not have")
def a_key_too_many(damage: Damage) -> None:
    member = damage.uuid("loadbalancer-member", "default-domain:p1:pool:by-vmi")
    damage.run(f"insert into search_key values ('port:x:1', '{member}')")


@case(search_key="which it does not have")
def a_key_of_what_has_none(damage: Damage) -> None:
    damage.run(f"insert into search_key values ('x', '{damage.uuid('project', 'default-domain:p1')}')")


@case(search_key=f"it leads to {GHOST}, which is not there")
def a_key_to_nothing(damage: Damage) -> None:
    damage.run(f"insert into search_key values ('x', '{GHOST}')")


@case(unlinked="differs in virtual_machine_interface_refs")
def a_back_end_unlinked(damage: Damage) -> None:
    web = damage.uuid("virtual-machine-interface", "web-0")
    damage.run(f"delete from reference where from_type='floating-ip' and to_uuid='{web}'")


@case(lossy=True, unlinked="should not be there", search_key="loadbalancer:")
def a_floating_ip_of_no_load_balancer(damage: Damage) -> None:
    damage.run("update resource set properties=replace(properties, "
               f"'{damage.uuid('loadbalancer', 'lb')}', '{GHOST}') where type='floating-ip'")  # fmt: skip


@case(lossy=True, default="it is not there")
def a_default_object_lost(damage: Damage) -> None:
    damage.run("delete from resource where type='tag-type' and fq_name='tier'")


@case(lossy=True, unlinked="there is no routing-instance")
def a_routing_instance_lost(damage: Damage) -> None:
    damage.run("delete from resource where fq_name='default-domain:p1:other:other'")


@case(lossy=True, counter="what is stored is at")
def a_counter_that_is_behind(damage: Damage) -> None:
    damage.run("update counter set revision=revision - 3")


@case(counter="it is not there")
def no_counter(damage: Damage) -> None:
    damage.run("delete from counter")


@case(change_log="revisions 4 to 5 are missing; revision 7 lacks changes")
def a_log_with_holes(damage: Damage) -> None:
    damage.run("delete from change where revision in (4, 5) or (revision=7 and sequence=1)",
               "insert into change select revision, 9, operation, type, uuid, fq_name, object, fields, request_id, "
               '"user", at, implicit from change where revision=7 and sequence=0')  # fmt: skip


@case(change_log="though it is compacted up to 3")
def a_log_that_was_not_cut(damage: Damage) -> None:
    damage.run("update counter set compacted=3")
