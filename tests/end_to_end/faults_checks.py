"""What must be so when everything has settled: by the agent's word, in the kernel, for connections."""

from typing import Any

from faults_history import TARGETS, Cluster
from faults_node import Members, Node, ip, namespaces
from faults_oracle import Expected
from faults_traffic import Connection, Servers, answering


def as_told(node: Node, want: Expected) -> None:
    """The agent says that it has what the objects ask for, and nothing else."""
    units = {tuple(row["key"]): row for row in node.ask("/units")}
    assert {key: row["text"] for key, row in units.items() if row["state"] != "done"} == {}
    assert all(row["desired"] == row["applied"] for row in units.values())
    assert {key[1:] for key in units if key[0] == "vip"} == {
        (want.vrfs[network], vip) for network, vips in want.vips.items() for vip in vips
    }
    for network, vrf in want.vrfs.items():
        for vip, services in want.vips[network].items():
            listeners = units["vip", vrf, vip]["desired"]["listeners"]
            assert {(one["protocol"], one["port"]): _members(one) for one in listeners} == {
                service: {(target.address, target.port, target.weight) for target in targets}
                for service, targets in services.items()
            }
    told = node.told()
    assert told.keys() == set(want.vrfs.values())
    for network, vrf in want.vrfs.items():
        assert _own(told[vrf]) == want.groups(network)
    refused = {(row["vrf"], row["prefix"]) for row in node.ask("/routes") if row["refused"]}
    assert {row for row in refused if not row[1].startswith("24")} == {
        (want.vrfs[network], f"{vip}/32")
        for network, vips in want.vips.items() for vip in vips if vip not in want.groups(network)
    }  # fmt: skip


def _members(listener: Any) -> set[tuple[str, int, int]]:
    return {(member["address"], member["port"], member["weight"]) for member in listener["members"]}


def _own(groups: dict[str, Members]) -> dict[str, Members]:
    """Without those of single listeners: their addresses are no VIPs (docs/design/listeners.md)."""
    return {address: members for address, members in groups.items() if int(address.partition(".")[0]) < 240}


def as_in_the_kernel(node: Node, want: Expected) -> None:
    """Namespaces, links, next hops and routes are those of the objects; nothing is left of what was."""
    networks = node.networks()
    assert set(networks) == set(want.vrfs.values())
    pods = {pod for pods in want.pods.values() for pod in pods}
    assert {one for one in namespaces() if node.name in one} == {*networks.values(), *pods}
    forwarding, devices = node.forwarding(), node.devices()
    for network, vrf in want.vrfs.items():
        own = _own(forwarding[vrf])
        parts = [members for address, members in forwarding[vrf].items() if address not in own]
        assert own == want.groups(network)
        assert sorted(map(sorted, parts)) == sorted(map(sorted, want.parts(network)))
        pods_of = [alias.partition(" ")[2] for name, alias in devices[vrf].items() if not name.startswith("join")]
        assert sorted(pods_of) == sorted(want.pods[network])
        routes = {row["dst"] for row in ip("-n", networks[vrf], "route") if "nhid" not in row and "dev" in row}
        assert routes - {"default"} == set(want.pods[network].values()) | want.shown(network)
    assert forwarding == node.told()


def as_connections_meet(cluster: Cluster, want: Expected) -> None:
    """Each service is reached at each of its members, at the member's port, and at nobody else; else it is refused."""
    with Servers() as servers:
        for pods in want.pods.values():
            for pod in pods:
                servers.listen(pod, TARGETS)
        servers.start()
        for network, vips in want.vips.items():
            for vip, services in vips.items():
                for protocol in ("tcp", "udp"):
                    for port in (80, 443, 8080, 81):
                        targets = services.get((protocol, port), set())
                        wanted = {(target.pod, target.port) for target in targets}
                        found = answering(cluster.clients[network], protocol, vip, port, wanted)
                        assert found == (wanted or {None}), f"{protocol} {vip}:{port} in {network}"


class Open:
    """An open connection through every service that is answered, to go on with."""

    def __init__(self, cluster: Cluster, want: Expected, servers: Servers) -> None:
        for pods in want.pods.values():
            for pod in pods:
                servers.listen(pod, TARGETS)
        servers.start()
        self.connections = [
            Connection(cluster.clients[network], protocol, vip, port)
            for network, vips in want.vips.items()
            for vip, services in vips.items()
            for (protocol, port), targets in services.items()
            if targets
        ]
        assert self.connections
        self.answers = [connection.exchange() for connection in self.connections]

    def go_on(self) -> None:
        """Each with whom it began."""
        assert [connection.exchange() for connection in self.connections] == self.answers

    def close(self) -> None:
        for connection in self.connections:
            connection.close()
