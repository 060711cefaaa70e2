from ipaddress import IPv4Address

from hypothesis import given
from hypothesis import strategies as st

from vrouter.backends.netns import elements
from vrouter.backends.netns.elements import VipTable
from vrouter.backends.netns.nftables import COMMENT_LIMIT

ports = st.integers(1, 65535)
pods = st.ip_addresses(v=4, network="10.0.0.0/8")
services = st.tuples(st.sampled_from(["tcp", "udp"]), ports)
names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=400)


@st.composite
def tables(draw: st.DrawFn) -> VipTable:
    surrogates = draw(st.dictionaries(services, st.ip_addresses(v=4, network="240.0.0.0/8"), max_size=4))
    targets = {service: draw(ports) for service in surrogates if draw(st.booleans())}
    exceptions = {(service, draw(pods)): draw(ports) for service in targets if draw(st.booleans())}
    return VipTable(draw(names), surrogates, targets, exceptions)


@given(st.dictionaries(st.ip_addresses(v=4, network="172.16.0.0/12"), tables(), max_size=4))
def test_what_the_table_has_of_vips_is_read_back(vips: dict[IPv4Address, VipTable]) -> None:
    table = {place: value for vip, each in vips.items() for place, value in each.elements(vip).items()}
    assert elements.read_vips(table, elements.read_labels(table)) == vips


@given(names)
def test_names_of_any_length_are_kept(name: str) -> None:
    label = elements.label(elements.VRF_LABEL, elements.NOWHERE, name)
    assert all(len(value.comment) <= COMMENT_LIMIT for value in label.values())
    assert elements.read_labels(label).get((elements.VRF_LABEL, elements.NOWHERE), "") == name


@given(st.dictionaries(pods, st.sampled_from([80, 81, 82])), st.sampled_from([None, 80, 8080]))
def test_target_and_exceptions_give_each_pod_its_port(ports: dict[IPv4Address, int], standing: int | None) -> None:
    target, exceptions = elements.choose_ports(ports, standing)
    assert {pod: exceptions.get(pod, target) for pod in ports} == ports
    assert target not in exceptions.values()
    if standing in ports.values() or not ports:
        assert target == standing


def test_endpoints_are_read_back() -> None:
    pod = IPv4Address("10.0.0.1")
    table = elements.endpoint_elements(pod, 0, 5) | elements.endpoint_elements(pod, 80, 6)
    assert elements.read_endpoints(table) == {pod: {0: 5, 80: 6}}


def test_what_belongs_to_pods_that_are_gone_is_found() -> None:
    here, gone = IPv4Address("10.0.0.1"), IPv4Address("10.0.0.2")

    def of(pod: IPv4Address, number: int) -> elements.Elements:
        name = elements.label(elements.INTERFACE_LABEL, pod, "pod")
        return elements.self_element(pod) | elements.endpoint_elements(pod, 80, number) | name

    vip = VipTable("a service").elements(gone)  # a VIP with the address of a pod is none of a pod's
    assert elements.of_other_pods(of(here, 1) | of(gone, 2) | vip, {here}) == of(gone, 2)
