"""Files of objects in all their forms, and the order in which what they declare can be made."""

import contextlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli import notation
from cli.objects import differences, documents, plan
from cli.objects.documents import Declared
from cli.output import Failure

NAME = ("default-domain", "p", "web")
VIP = {"to": ["default-domain", "p", "vip"]}
FORMS = [
    """
type: loadbalancer
fq_name: default-domain:p:web
virtual_machine_interface_refs: [default-domain:p:vip]
""",
    """
type: loadbalancer
fq_name: [default-domain, p, web]
virtual_machine_interface_refs: [{to: default-domain:p:vip}]
""",
    """
{"loadbalancer": {"fq_name": ["default-domain", "p", "web"], "uuid": null, "name": "web", "parent_href": "x",
  "virtual_machine_interface_refs": [{"to": ["default-domain", "p", "vip"], "uuid": "u", "href": "h"}],
  "loadbalancer_listener_back_refs": []}}
""",
    """
- loadbalancers:
    - loadbalancer:
        fq_name: default-domain:p:web
        virtual_machine_interface_refs: [virtual-machine-interface/default-domain:p:vip]
""",
    """
loadbalancers:
- fq_name: default-domain:p:web
  virtual_machine_interface_refs: [[default-domain, p, vip]]
""",
]


def read(text: str) -> list[Declared]:
    return documents.read(text, "f")


@pytest.mark.parametrize("text", FORMS)
def test_all_forms_mean_the_same(text: str) -> None:
    (declared,) = read(text)
    assert declared.key == ("loadbalancer", NAME)
    assert declared.fields == {"virtual_machine_interface_refs": [VIP]}
    assert declared.identity() == {"fq_name": list(NAME)}


def test_values_are_as_the_server_stores_them() -> None:
    (declared,) = read(
        "type: loadbalancer-listener\nfq_name: d:p:l\nloadbalancer_listener_properties: {protocol_port: '80'}\n"
        "id_perms: {enable: true, created: x, uuid: {uuid_mslong: 1}, creator: null}"
    )
    assert declared.fields == {
        "loadbalancer_listener_properties": {"protocol_port": 80}, "id_perms": {"enable": True},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("5", "f, document 1: an object was expected, not 5"),
        ("a: 1\n", "f, document 1: needs `type` and `fq_name`, or a type as its only key; 'a' is none"),
        ("loadbalancers: [5]", "f, document 1: an object was expected below loadbalancers, not 5"),
        ("type: loadbalanser\n", "there is no type called 'loadbalanser' (did you mean 'loadbalancer'?)"),
        ("type: loadbalancer\n", "f, document 1: a loadbalancer needs its fq_name"),
        ("type: loadbalancer\nfq_name: [a, 5]\n", "f, document 1: a loadbalancer needs its fq_name"),
        ("type: loadbalancer\nfq_name: a:b:c\nuuid: 5\n", "f, document 1, loadbalancer/a:b:c: uuid must be text"),
        (
            "type: project\nfq_name: a:b\n---\ntype: loadbalancer\nfq_name: a:b:c\ndisplay_nam: x\n",
            "f, document 2, loadbalancer/a:b:c: loadbalancer has no field 'display_nam' (did you mean 'display_name'?)",
        ),
        (
            "type: loadbalancer\nfq_name: a:b:c\nloadbalancer_properties: {vip: x}\n",
            "f, document 1, loadbalancer/a:b:c: ",
        ),
        (
            "type: loadbalancer\nfq_name: a:b:c\ntag_refs: x\n",
            "f, document 1, loadbalancer/a:b:c: tag_refs must be a list",
        ),
        (
            "type: loadbalancer\nfq_name: a:b:c\ntag_refs: [5]\n",
            "f, document 1, loadbalancer/a:b:c: a reference in tag_refs",
        ),
        ("type: project\nfq_name: a:b\n---\nproject: {fq_name: [a, b]}\n", "f declares project/a:b twice"),
    ],
)
def test_what_is_wrong_says_where(text: str, says: str) -> None:
    with pytest.raises(Failure) as caught:
        read(text)
    assert str(caught.value).startswith(says)


LAB = """
type: project
fq_name: d:p
---
type: virtual-network
fq_name: d:p:vn
---
type: virtual-machine-interface
fq_name: d:p:vip
parent_type: project
virtual_network_refs: [d:p:vn]
---
type: loadbalancer
fq_name: d:p:lb
virtual_machine_interface_refs: [d:p:vip]
---
type: loadbalancer-listener
fq_name: d:p:li
loadbalancer_refs: [d:p:lb]
"""


def test_any_order_of_a_file_is_put_right() -> None:
    declared = read(LAB)
    for shuffled in itertools.permutations(declared):
        assert plan.in_order(shuffled) == declared


def test_a_circle_is_named() -> None:
    with pytest.raises(Failure) as caught:
        plan.in_order(read(
            "type: routing-policy\nfq_name: d:p:a\nservice_instance_refs: [d:p:b]\n---\n"
            "type: service-instance\nfq_name: d:p:b\ninstance_ip_refs: [c]\n---\n"
            "type: instance-ip\nfq_name: c\nvirtual_machine_interface_refs: [d:p:v]\n---\n"
            "type: virtual-machine-interface\nfq_name: d:p:v\nparent_type: project\n"
            "port_tuple_refs: [d:p:b:t]\n---\n"
            "type: port-tuple\nfq_name: d:p:b:t\n"
        ))  # fmt: skip
    assert str(caught.value).startswith("these need each other, so none can be the first: ")
    assert "service-instance/d:p:b" in str(caught.value)
    assert "routing-policy/d:p:a" not in str(caught.value)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)).filter(lambda pair: pair[0] > pair[1]), max_size=20))
def test_each_stands_behind_what_it_needs(pairs: list[tuple[int, int]]) -> None:
    needs: dict[int, list[int]] = {}
    for node, needed in pairs:
        needs.setdefault(node, []).append(needed)
    order = plan.ordered(needs)
    assert sorted(order) == sorted({each for pair in pairs for each in pair})
    assert all(order.index(needed) < order.index(node) for node, needed in pairs)


def test_parents_of_which_there_may_be_several_are_all_looked_for() -> None:
    project, machine, interface = read(
        "project: {fq_name: x:y}\n---\nvirtual-machine: {fq_name: x}\n---\nvirtual-machine-interface: {fq_name: x:y:z}"
    )
    keys = {each.key: each for each in (project, machine, interface)}
    assert documents.dependencies(interface, keys) == [project.key]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
NAMES = ["type", "fq_name", "uuid", "parent_type", "project", "loadbalancers", "tag_refs", "annotations", "id_perms",
         "loadbalancer_properties", "virtual_machine_interface_refs", "display_name"]  # fmt: skip
OBJECTS = st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=5)


@given(OBJECTS | st.builds(lambda fields: {**fields, "type": "loadbalancer", "fq_name": "a:b:c"}, OBJECTS))
def test_whatever_a_file_says_it_is_objects_or_a_sentence(document: object) -> None:
    declared: list[Declared] = []
    with contextlib.suppress(Failure):
        declared = read(notation.dump(document))
    for each in declared:
        assert differences.created(each.type, each.fq_name, each.fields).keys() <= each.fields.keys()
        assert each.key not in documents.dependencies(each, {each.key: each})
