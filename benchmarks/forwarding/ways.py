"""Other ways from a client to a service's pods, put into a `Router`: what Vaportrail is compared with.

Each is as its users have it: kube-proxy's nftables and iptables modes (a map or chain of services, a chain for each
service and each endpoint, conntrack), and haproxy as a TCP proxy. Rules are our own, written after what those programs
are documented to do.
"""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.forwarding.bed import DISCARD, PORT, SERVICE, SERVICE_DISCARD, VIPS, Router, address, run
from vrouter.state import Protocol

SERVICES: Sequence[tuple[Protocol, int, int]] = (
    ("tcp", SERVICE, PORT), ("tcp", SERVICE_DISCARD, DISCARD), ("udp", SERVICE, PORT),
)  # fmt: skip


@contextmanager
def nftables_dnat(router: Router) -> Iterator[None]:
    chains: list[str] = []
    services: list[str] = []
    for protocol, port, target in SERVICES:
        service = f"service-{protocol}-{port}"
        services.append(f"{VIPS[4]} . {protocol} . {port} : goto {service}")
        count = len(router.pods)
        endpoints = ", ".join(f"{number} : goto {service}-{number}" for number in range(count))
        chains += [
            f"chain {service}-{number} {{ meta l4proto {protocol} dnat to {address(number + 1, 4)}:{target}; }}"
            for number in range(count)
        ]
        chains.append(f"chain {service} {{ numgen random mod {count} vmap {{ {endpoints} }}; }}")
    lines = "\n".join(chains)
    _inside(router, ["nft", "-f", "-"], f"""
        table ip kube {{
            {lines}
            map services {{
                type ipv4_addr . inet_proto . inet_service : verdict
                elements = {{ {", ".join(services)} }}
            }}
            chain prerouting {{
                type nat hook prerouting priority dstnat; policy accept;
                ip daddr . meta l4proto . th dport vmap @services
            }}
        }}
    """)  # fmt: skip
    yield


@contextmanager
def iptables_dnat(router: Router) -> Iterator[None]:
    lines = ["*nat", ":KUBE-SERVICES - [0:0]", "-A PREROUTING -j KUBE-SERVICES"]
    for protocol, port, target in SERVICES:
        service, count = f"KUBE-SVC-{protocol}-{port}".upper(), len(router.pods)
        lines.append(f":{service} - [0:0]")
        lines.append(f"-A KUBE-SERVICES -d {VIPS[4]}/32 -p {protocol} -m {protocol} --dport {port} -j {service}")
        for number in range(count):
            endpoint = f"KUBE-SEP-{protocol}-{port}-{number}".upper()
            chance = f" -m statistic --mode random --probability {1 / (count - number):.10f}"
            to = f"{address(number + 1, 4)}:{target}"
            lines.append(f":{endpoint} - [0:0]")
            lines.append(f"-A {service}{chance if number < count - 1 else ''} -j {endpoint}")
            lines.append(f"-A {endpoint} -p {protocol} -m {protocol} -j DNAT --to-destination {to}")
    _inside(router, ["iptables-restore"], "\n".join([*lines, "COMMIT", ""]))
    yield


@contextmanager
def haproxy(router: Router) -> Iterator[None]:
    """TCP only."""
    run("ip", "-n", router.router, "address", "add", f"{VIPS[4]}/32", "dev", "lo")
    lines = ["global", "  maxconn 4000", "defaults", "  mode tcp", "  timeout connect 5s", "  timeout client 60s",
             "  timeout server 60s"]  # fmt: skip
    for protocol, port, target in SERVICES:
        if protocol == "tcp":
            lines += [f"listen service-{port}", f"  bind {VIPS[4]}:{port}", "  balance roundrobin"]
            pods = range(1, len(router.pods) + 1)
            lines += [f"  server pod-{number} {address(number, 4)}:{target}" for number in pods]
    with TemporaryDirectory(prefix="vaportrail-haproxy-") as folder:
        config = Path(folder, "haproxy.cfg")
        config.write_text("\n".join([*lines, ""]))
        _inside(router, ["haproxy", "-c", "-q", "-f", str(config)])
        proxy = subprocess.Popen(["ip", "netns", "exec", router.router, "haproxy", "-db", "-f", str(config)])
        try:
            yield
        finally:
            proxy.kill()
            proxy.wait()


def _inside(router: Router, words: Sequence[str], given: str = "") -> None:
    run("ip", "netns", "exec", router.router, *words, given=given)
