"""What this machine can do, found by trying it in a namespace that is gone afterwards."""

import os
import re
import secrets
import shutil
import subprocess
from collections.abc import Container, Mapping
from ipaddress import IPv4Address
from pathlib import Path

from vrouter import namespace
from vrouter.backends.netns import (
    counting,
    elements,
    fib,
    icmp_errors,
    links,
    nftables,
    rules,
    spelling,
    straight,
    wide,
)
from vrouter.backends.netns.fib import MAX_WEIGHT, Hop
from vrouter.backends.netns.netlink import NETLINK_NETFILTER, NETLINK_ROUTE, NetlinkError, Socket
from vrouter.backends.protocol import BackendError
from vrouter.state import FLOW_LIMIT, Family

OLDEST_KERNEL = (5, 15)

SYSCTLS = {
    "ipv4/ip_forward": "1",
    "ipv4/ip_early_demux": "0",  # of both families: no packet is for a socket here, but for a probe's
    # Addresses, protocol and ports, read from the packet. Policy 1 has the same fields, but takes the number that the
    # pod's own kernel drew for the socket where it finds one: nobody could tell beforehand whom a connection reaches,
    # and a repeated SYN may reach another.
    "ipv4/fib_multipath_hash_policy": "3",
    "ipv4/fib_multipath_hash_fields": "55",
    "ipv4/conf/all/rp_filter": "0",
    "ipv4/conf/default/rp_filter": "0",
    "ipv4/conf/all/send_redirects": "0",
    "ipv4/conf/default/send_redirects": "0",
    "ipv4/icmp_ratelimit": "0",  # a refusal must come at once, also the tenth in a second
    "ipv4/icmp_msgs_per_sec": "1000000",  # of both families together; 1000 and bursts of 50, the default, silence some
    "ipv4/icmp_msgs_burst": "10000",
    "ipv6/conf/all/disable_ipv6": "1",  # `SYSCTLS_OF_IPV6` begin where an address needs them
    "ipv6/conf/default/disable_ipv6": "1",
}
SYSCTLS_OF_IPV6 = {
    "ipv6/conf/lo/disable_ipv6": "0",
    "ipv6/conf/all/forwarding": "1",
    "ipv6/conf/default/forwarding": "1",
    # a link has the addresses it is given, and says nothing by itself
    "ipv6/conf/default/addr_gen_mode": "1",
    "ipv6/conf/default/accept_ra": "0",
    "ipv6/conf/default/autoconf": "0",
    "ipv6/conf/default/accept_dad": "0",
    "ipv6/fib_multipath_hash_policy": "3",
    "ipv6/fib_multipath_hash_fields": "55",
    "ipv6/icmp/ratelimit": "0",
}
SEED = "ipv4/fib_multipath_hash_seed"  # Linux 6.11
OPTIONAL = {
    "ipv4/ip_early_demux": "for each packet a socket is looked for in vain",
    SEED: "all VRFs hash alike, so a second level of ECMP on the same packets would not spread",
    "ipv4/icmp_ratelimit": "refusals by ICMP are limited to one a second for each client",
    "ipv4/icmp_msgs_per_sec": "refusals by ICMP are limited to a thousand a second on this machine",
    "ipv4/icmp_msgs_burst": "refusals by ICMP are limited to fifty at once on this machine",
    "ipv6/conf/all/disable_ipv6": "VRFs see the IPv6 multicast of their pods",
    "ipv6/conf/default/disable_ipv6": "VRFs see the IPv6 multicast of their pods",
}


def nft() -> str:
    """The `nft` program. Raises BackendError (permanent) if there is none."""
    path = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
    program = shutil.which("nft", path=path)
    if program is None:
        raise BackendError("The program nft is missing: install nftables", permanent=True)
    return program


def configure(flow_limit: int = FLOW_LIMIT) -> list[str]:
    """Make the namespace of the calling thread a VRF's: sysctls, loopback, the way to nowhere, the table.

    Returns what it had to leave out, in sentences. Raises BackendError (permanent) about what it cannot do without.
    """
    left_out = set()
    for name, value in {**SYSCTLS, SEED: str(secrets.randbelow(2**32 - 1) + 1)}.items():
        try:
            (Path("/proc/sys/net") / name).write_text(value)
        except OSError as error:
            if name not in OPTIONAL:
                text = f"sysctl net.{_dotted(name)} cannot be set: {error.strerror}"
                raise BackendError(text, permanent=True) from error
            if not name.startswith("ipv6") or not isinstance(error, FileNotFoundError):
                left_out.add(f"sysctl net.{_dotted(name)} cannot be set: {OPTIONAL[name]}")
    route = Socket(NETLINK_ROUTE, None)
    try:
        route.send([links.set_up(links.LOOPBACK), *fib.put_sink(4, links.LOOPBACK)])
    finally:
        route.close()
    load_table(4, flow_limit)
    return sorted(left_out)


def begin_ipv6(flow_limit: int = FLOW_LIMIT) -> None:
    """What IPv6 needs in the namespace of the calling thread, which is a VRF's already. Raises BackendError."""
    for name, value in SYSCTLS_OF_IPV6.items():
        try:
            (Path("/proc/sys/net") / name).write_text(value)
        except OSError as error:
            raise BackendError(f"IPv6: sysctl net.{_dotted(name)} cannot be set: {error.strerror}") from error
    route = Socket(NETLINK_ROUTE, None)
    try:
        route.send(fib.put_sink(6, links.LOOPBACK))
    except NetlinkError as error:
        raise BackendError(f"IPv6: the kernel refuses the route to nowhere: {error.strerror}") from error
    finally:
        route.close()
    load_table(6, flow_limit)


def answer_for_all(link: str) -> None:
    """On the link of that name in the namespace of the calling thread: a workload that takes its whole subnet to be on
    its link, as Contrail's do, is answered for every address that there is a route to. Raises BackendError."""
    ipv4 = Path("/proc/sys/net/ipv4")
    try:
        (ipv4 / "conf" / link / "proxy_arp").write_text("1")
        (ipv4 / "conf" / link / "proxy_arp_pvlan").write_text("1")  # also for a VIP that may lead back to it
        (ipv4 / "neigh" / link / "proxy_delay").write_text("0")  # else up to 0.8 s late
    except OSError as error:
        raise BackendError(f"{link} cannot be made to answer for others: {error.strerror}") from error


def restate_settings(names: Mapping[str, str]) -> list[str]:
    """Those of these settings (below /proc/sys/net) that were not so in the namespace of the calling thread; now they
    are."""
    changed = []
    for name, value in names.items():
        file = Path("/proc/sys/net") / name
        try:
            if file.read_text().strip() != value:
                file.write_text(value)
                changed.append(name)
        except OSError:  # it was left out when the VRF was made, too
            continue
    return changed


def settings_of(families: Container[Family]) -> dict[str, str]:
    """What a VRF that serves these families has of settings."""
    return SYSCTLS | SYSCTLS_OF_IPV6 if 6 in families else SYSCTLS


def load_table(family: Family, flow_limit: int = FLOW_LIMIT, before: str = "") -> None:
    """In the namespace of the calling thread. before: nft commands that make room for it, in the same transaction.
    Raises BackendError (permanent)."""
    text = spelling.text(family, flow_limit)
    if before:
        text = before + text.partition("\n")[2]  # without `create table`, which fails if there is one
    elif family == 6:  # one may be there that is not whole
        text = f"table ip6 {rules.TABLE}\ndelete table ip6 {rules.TABLE}\n{text}"
    text = text if family == 4 else wide.narrowed(text)
    loaded = subprocess.run([nft(), "-f", "-"], input=text, text=True, capture_output=True, check=False)
    if loaded.returncode != 0:
        reason = loaded.stderr.strip().partition("\n")[0]
        raise BackendError(f"nft does not load the table of a VRF: {reason}", permanent=True)
    socket = Socket(NETLINK_NETFILTER, None)
    try:
        counting.complete(socket, family)
        straight.complete(socket, family)
        nftables.transact(socket, icmp_errors.messages(family))
        if family == 6:
            wide.complete(socket, elements.complete())
    except NetlinkError as error:
        text = f"The kernel does not take the rules of IPv{family} as they are needed: {error.strerror}"
        raise BackendError(text, permanent=True) from error
    finally:
        socket.close()


def problems() -> list[str]:
    """What this machine lacks and how that is worked round. Raises BackendError (permanent) if it cannot serve."""
    release = os.uname().release
    version = re.match(r"(\d+)\.(\d+)", release)
    if version is None or (int(version[1]), int(version[2])) < OLDEST_KERNEL:
        oldest = ".".join(map(str, OLDEST_KERNEL))
        raise BackendError(f"Linux {oldest} or newer is needed, this is {release}", permanent=True)
    if not namespace.is_privileged():
        raise BackendError("Making namespaces needs root (or the user's own namespaces)", permanent=True)
    try:
        return namespace.scratch(_try)
    except OSError as error:
        raise BackendError(f"No network namespace can be made: {error.strerror}", permanent=True) from error


def _try() -> list[str]:
    """Do all that a VRF needs once, with a veth whose ends are both here."""
    found = configure()
    route = Socket(NETLINK_ROUTE, None)
    here = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    address, surrogate = IPv4Address("192.0.2.1"), IPv4Address("240.0.0.1")  # RFC 5737
    try:
        route.send([links.add_veth("tap0", "eth0", here, "02:00:00:00:00:01")])
        outer, inner = links.find(route, "tap0"), links.find(route, "eth0")
        assert outer is not None
        assert inner is not None
        route.send([links.set_up(inner), links.set_up(outer), links.put_address(outer, address)])
        hop = Hop(1, outer, address + 1)
        route.send([fib.put_hop(hop), fib.put_group(2, ((hop.id, MAX_WEIGHT),)), fib.put_route(surrogate, 2)])
    except NetlinkError as error:
        text = f"The kernel lacks veth or nexthop groups as they are needed: {error.strerror}"
        raise BackendError(text, permanent=True) from error
    finally:
        route.close()
        os.close(here)
    try:
        begin_ipv6()
    except BackendError as error:
        found.append(str(error))
    return found


def _dotted(name: str) -> str:
    return name.replace("/", ".")
