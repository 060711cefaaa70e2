"""The nft table of a VRF, as text: where flows are kept and addresses are translated.

It is loaded once, when the VRF is made, and never changes; what changes are elements of its sets and maps. A packet
passes a fixed number of hash look-ups, however many services there are. Who serves is not decided here: the FIB does
that, and `rt nexthop` says whom it chose (which is why every next hop has the member's address as its gateway).

*Services.* A service is one listener of one VIP. Its identity is its surrogate, an address in 240.0.0.0/8 that no wire
ever sees (`docs/design/listeners.md`). While a packet is translated, the surrogate in its address field says which
service it belongs to and its mark says which endpoint.

*Endpoints.* An endpoint is a pod's address and a port there. Its id is what a flow remembers, so a changed target port
leaves the flows that exist alone. Ids live and die with the pod's interface. Port 0 is the pod itself.

*Flows.* A flow is a pair: `forward` (client, VIP -> endpoint) and `reverse` (endpoint, client -> surrogate). Every
packet, whatever its direction, refreshes both. `reverse` always outlives `forward` a little, so that nobody who can
still send gets an answer untranslated. Every look-up or update of an element counts the packet; a packet of a given
direction touches the two entries a known number of times (`TOUCHES`), from which the packets of each direction follow.

*The straight way.* A packet of an established flow is first tried by one rule for its direction (`straight.py`, at the
head of `to_vip_*` and `answer_*`) that does all that the chains here would do for it, with fewer expressions; so is a
client's reset and, at the head of `record_*` of IPv4, the first packet of a flow. What they do not take goes through
the chains. The mark of one whose flow was found, which counts as a look-up, has what the flow records: not 0.

A flow is counted if it can be. Its counter is memory of each CPU, of which the kernel keeps little at hand for the
path of a packet: some thousand new flows at once use it up. The flow is then recorded without a counter, not refused.

*Affinity.* A client of a sticky service stays with its member: `affinity` has the pod it was given last, for
`vrouter.state.AFFINITY` seconds from its last new connection. Before routing the destination becomes that pod, if it is
still one that takes new connections to the service (`sticky_member`); meanwhile the mark says which service it is. What
an element has is never changed by an `update`, and what is deleted stays in its bucket until it is collected, where few
have a place: so only an entry of another pod is deleted.

*Counters.* What has gone through each member of each listener is counted in sets that nothing expires from, keyed by
VIP, port, pod and port: `opened` (the first packet of each flow), `inward` and `outward` (all others). A rule that ends
with the comment `count SET` is given that last step when the table is loaded (`counting.py`); if a set is full, it is
only the counting that fails.

*Limits.* A limited listener has a chain of its own, by `limited`, and in it a set with as many places as it may have
connections. The first packet of a flow takes a place or is refused; those that follow from its client keep it, by the
flag LIMITED in the flow's mark; what closes the connection, from either side, gives it back.

A client port that leads through a VIP cannot lead to the same endpoint directly, or through another VIP, before that
flow has ended: the endpoint's answers look alike. (vRouter has the first limit, too.)

A bare SYN is a new connection, whatever is remembered of an older one with the same ports. A flow of TCP is closing
when both sides have sent a FIN or one an RST.

*Refusals.* What the FIB knows no way for, an address of a service without a member among it, has the loopback as its
way (`fib.put_sink`) and is refused on it at once. An unreachable route would say so five times, then once a second.

*Guards.* A remote interface may be guarded (`vrouter.state.Remote`): who is not let open connections to it by a policy
answers it, and reaches it through VIPs. So a direct packet to it is looked at: of TCP any but the first of a connection
passes, of UDP what goes back where it has asked (`asked`), of ICMP replies and errors. What a VIP has translated has a
mark and is not looked at.

*Exits.* What goes to nobody that is known may have a way out (`vrouter.state.Exit`): by it go answers, and by the
uplink of an external network only what was translated, so that no address of the inside gets out.

*Watched.* Most VRFs have neither guards nor ways out, and what no VIP translates pays nothing for them there: only if
one of these has an element does `watched` have the mark of such packets, which is none.

*Hairpin.* A pod that is chosen for its own connection is shown the VIP as the client, or it would answer itself.

What nft imposes: `th dport set` writes no checksum, hence a copy of the chains for each protocol; nft 1.0.6 aborts on
dynamic maps with keys of more than 16 bytes; `rt nexthop` exists only after routing.
"""

from typing import Literal

from vrouter.state import AFFINITY

TABLE = "vaportrail"

PATH_LIMIT = 512 * 1024  # pairs of listener and back-end that are counted
PING_LIMIT = 64 * 1024
AFFINITY_LIMIT = 256 * 1024  # pairs of client and sticky service; the clients beyond are balanced as others

# Seconds without a packet. vRouter's agent ages flows after 180 s; what is unanswered or has ended goes sooner.
IDLE = 180
UNANSWERED = 30
CLOSING = 10
MARGIN = 1  # `reverse` outlives `forward` by this
CLOSED_FOR = CLOSING + 2 * MARGIN  # longer than `reverse`, or the next flow of its ports would find it taken

# How the names of chains and sets of limited listeners begin: they come and go (`limits.py`).
PREFIX_OF_COPIES = "limit-"

# The mark of a packet in the VRF: the id of an endpoint, and flags.
ID_MASK = 0x00FF_FFFF
LIMITED, STICKY, DONE, AGAIN = 0x0200_0000, 0x0400_0000, 0x0800_0000, 0x1000_0000
NEW, CLOSED, HAIRPIN = 0x2000_0000, 0x4000_0000, 0x8000_0000
FLOATING = 0x0100_0003  # it has an address outside, or is to one
FOUND, HALF = 0x0100_0001, 0x0100_0002  # how far an answer has come on the straight way
KEPT = 0x0100_0000  # beside a flow's mark: on the straight way there, it has kept its place

# Direction of a packet -> how often it counts in (forward, reverse) of its flow.
TOUCHES: dict[Literal["forward", "reverse"], tuple[int, int]] = {"forward": (2, 1), "reverse": (1, 3)}

# Contrail's words for why a packet is refused -> the counter here.
DROP_COUNTERS = {
    "NoFipPortMap": "no_fip_port_map",
    "NoDstRt": "no_dst_route",
    "NoRevFlow": "no_reverse_flow",
    "FlowLim": "flow_limit",
    "Policy": "no_policy",
    "ConnLim": "connection_limit",  # of our own; Contrail has no limit of listeners
}

ICMP_ERRORS = "{ destination-unreachable, time-exceeded, parameter-problem }"

SHARED = f"""
counter no_fip_port_map {{}}
counter no_dst_route {{}}
counter no_reverse_flow {{}}
counter flow_limit {{}}
counter no_policy {{}}
counter connection_limit {{}}

set vip {{ typeof ip daddr; }}
map split {{ typeof ip daddr : meta mark; }}
map sticky {{ typeof ip daddr : meta mark; }}
map sticky_service {{ typeof meta mark : ip daddr; }}
set sticky_member {{ typeof meta mark . ip daddr; }}
map affinity {{
    typeof ip saddr . ip daddr : ip daddr
    flags dynamic,timeout; timeout {AFFINITY}s; size {AFFINITY_LIMIT};
}}
map service_vip {{ typeof ip daddr : ip daddr; }}
map service_port {{ typeof ip daddr : th sport; }}
map endpoint {{ typeof ip daddr . meta mark : meta mark; }}
map endpoint_address {{ typeof meta mark : ip daddr; }}
map endpoint_port {{ typeof meta mark : th dport; }}
set self {{ typeof ip saddr . ip daddr; }}
set watched {{ typeof meta mark; size 1; }}
set guarded {{ typeof ip daddr; }}
set exits {{ typeof oif; }}
set uplinks {{ typeof oif; }}
set floating {{ typeof ip saddr; }}
map float_in {{ typeof ip daddr : ip daddr; }}
map float_out {{ typeof iif . ip saddr : ip daddr; }}
set asked {{
    typeof ip saddr . udp sport . ip daddr . udp dport
    flags dynamic,timeout; timeout {IDLE}s; size {PING_LIMIT};
}}
set label {{ typeof meta mark . ip daddr . meta mark; }}
map ping {{
    typeof ip saddr . ip daddr . icmp id : ip daddr
    flags dynamic,timeout; timeout {UNANSWERED}s; size {PING_LIMIT};
}}

# The last rule is never reached by TCP. That it is there brings defragmentation, so that every fragment has its ports;
# a `ct` expression would, too, but with the hooks of connection tracking.
chain arriving {{
    type filter hook prerouting priority -290; policy accept;
    ip daddr @vip goto to_vip
    meta l4proto vmap {{ tcp : goto answer_tcp, udp : goto answer_udp, icmp : goto answer_icmp }}
    meta l4proto tcp tproxy to :1
}}
chain to_vip {{
    meta l4proto vmap {{ tcp : goto to_vip_tcp, udp : goto to_vip_udp, icmp : goto to_vip_icmp }}
    counter name no_fip_port_map reject with icmp prot-unreachable
}}
chain forwarding {{
    type filter hook forward priority filter; policy accept;
    oif lo goto unrouted
    meta mark {DONE} accept
    tcp flags & (syn | rst) == syn tcp option maxseg size set rt mtu
    meta mark & {NEW} != 0 goto admitting
    meta mark @watched goto direct
}}
chain admitting {{
    oif @exits goto unrouted
    meta l4proto vmap {{ tcp : goto admit_tcp, udp : goto admit_udp, icmp : goto admit_icmp }}
}}
# What no VIP translates, where some of it is watched. A guarded address takes answers only.
chain direct {{
    oif @exits goto leaving
    iif @exits update @asked {{ ip saddr . udp sport . ip daddr . udp dport }}
    ip saddr @guarded update @asked {{ ip saddr . udp sport . ip daddr . udp dport }}
    ip daddr @guarded goto guard
}}
chain leaving {{
    oif @uplinks goto unrouted
    ip saddr @floating accept
    jump answering
    goto unrouted
}}
chain guard {{
    jump answering
    counter name no_policy reject with icmp host-unreachable
}}
chain answering {{
    tcp flags & (fin | syn | rst | ack) != syn accept
    ip daddr . udp dport . ip saddr . udp sport @asked accept
    icmp type echo-reply accept
    icmp type {ICMP_ERRORS} accept
}}
chain remember {{
    meta mark set {NEW}
    meta mark set ip daddr map @sticky goto remembered
}}
chain remembered {{
    ip daddr set ip saddr . ip daddr map @affinity
    meta mark . ip daddr @sticky_member meta mark set meta mark | {AGAIN} accept
    ip daddr set meta mark map @sticky_service
}}
chain stick {{
    ip daddr set meta mark & {~AGAIN & 0xFFFF_FFFF} map @sticky_service
    meta mark & {AGAIN} == 0 delete @affinity {{ ip saddr . ip daddr : rt ip nexthop }}
    update @affinity {{ ip saddr . ip daddr : rt ip nexthop }}
}}
chain unrouted {{
    meta mark & {STICKY} != 0 ip daddr set meta mark & {~AGAIN & 0xFFFF_FFFF} map @sticky_service
    meta mark & {NEW} != 0 ip daddr set ip daddr map @service_vip
    counter name no_dst_route
    meta mark & {NEW} != 0 meta l4proto tcp reject with tcp reset
    reject with icmp host-unreachable
}}

chain to_vip_icmp {{
    icmp type echo-request goto ask_icmp
    icmp type echo-reply goto home_icmp
    icmp type {ICMP_ERRORS} goto error_to_pod
    drop
}}
chain ask_icmp {{
    meta mark set {NEW}
}}
chain admit_icmp {{
    rt ip nexthop . ip saddr @self goto hairpin_icmp
    icmp type echo-request update @ping {{ rt ip nexthop . ip saddr . icmp id : ip daddr }} goto asked_icmp
    counter name flow_limit drop
}}
chain asked_icmp {{
    ip daddr set rt ip nexthop
}}
chain hairpin_icmp {{
    ip saddr set ip daddr
    ip daddr set rt ip nexthop
}}
chain home_icmp {{
    meta mark set 0
    meta mark set ip saddr . meta mark map @endpoint
    ip saddr set ip daddr
    ip daddr set meta mark map @endpoint_address accept
    drop
}}
chain answer_icmp {{
    icmp type {ICMP_ERRORS} goto error_to_client
    icmp type echo-reply ip saddr set ip saddr . ip daddr . icmp id map @ping
    meta mark @watched goto floating
}}
# Of a VRF with an uplink: addresses outside that stand for one inside.
chain floating {{
    ip saddr set iif . ip saddr map @float_out meta mark set {FLOATING}
    ip daddr set ip daddr map @float_in meta mark set {FLOATING}
}}

# About a translated packet; those of this namespace itself, too. Their rules are put in by `icmp_errors.py`.
chain error_to_client {{
}}
chain error_to_pod {{
}}
chain complaining {{
    type filter hook output priority filter; policy accept;
    icmp type {ICMP_ERRORS} jump error_to_client
}}
"""  # noqa: S608  no SQL

# Of each protocol, the PROTO of the names; `spelling.py` tells of other words in capitals, and of @NAMES@.
PROTOCOL = """
map service_PROTO { typeof ip daddr . PROTO dport : ip daddr; }
map target_PROTO { typeof ip daddr . PROTO dport : meta mark; }
map exception_PROTO { typeof ip daddr . PROTO dport . ip saddr : meta mark; }
map forward_PROTO {
    typeof ip saddr . PROTO sport . ip daddr . PROTO dport : meta mark
    flags dynamic,timeout; timeout @IDLE@s; size @LIMIT@;
}
map reverse_PROTO {
    typeof ip saddr . PROTO sport . ip daddr . PROTO dport : ip saddr
    flags dynamic,timeout; timeout @IDLE@s; size @LIMIT@;
}
set opened_PROTO { MEASURED; flags dynamic; size @PATHS@; counter; }
set inward_PROTO { MEASURED; flags dynamic; size @PATHS@; counter; }
set outward_PROTO { MEASURED; flags dynamic; size @PATHS@; counter; }
map limited_PROTO { typeof ip daddr . PROTO dport : verdict; }
set refused_PROTO { typeof ip daddr . PROTO dport; flags dynamic; size @PATHS@; counter; }

chain to_vip_PROTO {
    meta mark @DONE@ goto sent_PROTO
    meta mark != 0 goto known_PROTO
    ip daddr . PROTO dport @service_PROTO goto ask_PROTO
    OWN @reverse_PROTO goto home_PROTO
    counter name no_fip_port_map reject with CLOSED_PORT
}

# A client to a service. The third rule is a pod's answer to itself, to a client port that is a listener's, too.
chain ask_PROTO {
    IF_TCP tcp flags & (fin | syn | rst | ack) == syn goto new_PROTO
    meta mark set OWN map @forward_PROTO goto known_PROTO
    OWN @reverse_PROTO goto home_PROTO
    goto new_PROTO
}
chain known_PROTO {
    IF_TCP jump ending_tcp
    TOUCH forward OWN meta mark
    meta mark & @LIMITED@ != 0 OF_LIMITED
    meta mark & @HAIRPIN@ != 0 ip saddr set ip daddr
    PROTO dport set ENDPOINT map @endpoint_port ip daddr set ENDPOINT map @endpoint_address NOTE "count inward_PROTO"
    meta mark & @DONE@ != 0 goto sent_PROTO
    meta mark & @HAIRPIN@ != 0 drop
    delete @forward_PROTO { OWN : meta mark }
    goto new_PROTO
}
chain sent_PROTO {
    IF_TCP jump ended_tcp
    TOUCH reverse PEER ip daddr
}
chain new_PROTO {
    meta mark set @NEW@
    meta mark set ip daddr map @split ip daddr set ip daddr . PROTO dport map @service_PROTO
    meta mark & @STICKY@ != 0 goto remember
}

# After routing: the chosen endpoint, the flow, the translation.
chain admit_PROTO {
    meta mark & @STICKY@ != 0 jump stick
    ip daddr set ip daddr map @service_vip
    meta mark set ip daddr . PROTO dport map @target_PROTO
    meta mark set ip daddr . PROTO dport . rt ip nexthop map @exception_PROTO
    meta mark set rt ip nexthop . meta mark map @endpoint goto record_PROTO
    counter name no_dst_route drop
}
chain record_PROTO {
    rt ip nexthop . ip saddr @self meta mark set meta mark | @HAIRPIN@
    OF_LIMITED
    IF_TCP delete @closing { OWN }
    IF_TCP delete @half_closed { OWN }
    OWN @forward_PROTO meta mark set meta mark | @AGAIN@
    delete @forward_PROTO { OWN : meta mark }
    add @forward_PROTO { OWN timeout @UNANSWERED@s counter : LASTING } goto translate_PROTO
    add @forward_PROTO { OWN timeout @UNANSWERED@s : LASTING } goto translate_PROTO
    ip daddr set ip daddr . PROTO dport map @service_PROTO
    PROTO dport set ENDPOINT map @endpoint_port
    meta mark & @AGAIN@ != 0 delete @reverse_PROTO { CHOSEN : ip daddr }
    goto full_PROTO
}
chain translate_PROTO {
    update @forward_PROTO { OWN timeout @UNANSWERED@s : LASTING }
    ip daddr set ip daddr . PROTO dport map @service_PROTO
    PROTO dport set ENDPOINT map @endpoint_port
    meta mark & @HAIRPIN@ != 0 ip saddr set ip daddr map @service_vip
    meta mark & @AGAIN@ == 0 CHOSEN @reverse_PROTO UNLESS_CLOSING goto taken_PROTO
    IF_TCP delete @closing { CHOSEN }
    IF_TCP delete @half_closed { CHOSEN }
    delete @reverse_PROTO { CHOSEN : ip daddr }
    add @reverse_PROTO { CHOSEN timeout @UNANSWERED_MARGIN@s counter : ip daddr } goto opened_PROTO
    add @reverse_PROTO { CHOSEN timeout @UNANSWERED_MARGIN@s : ip daddr } goto opened_PROTO
    goto full_PROTO
}
chain opened_PROTO {
    PROTO dport set ip daddr map @service_port ip daddr set ip daddr map @service_vip NOTE "count opened_PROTO"
    PROTO dport set ENDPOINT map @endpoint_port ip daddr set rt ip nexthop accept
}

# The same client port to another service of this endpoint: the endpoint's answers belong to that one.
chain taken_PROTO {
    jump restore_PROTO
    counter name no_reverse_flow reject with NO_MEMBER
}
# No place for one of the two entries. The other goes, too, or it would stand in the way of the next of these ports.
chain full_PROTO {
    jump restore_PROTO
    counter name flow_limit reject with NO_MEMBER
}
chain restore_PROTO {
    PROTO dport set ip daddr map @service_port
    ip daddr set ip daddr map @service_vip
    meta mark & @HAIRPIN@ != 0 ip saddr set rt ip nexthop
    delete @forward_PROTO { OWN : meta mark }
    LEAVE
}

# What a limited listener has a copy of, with a set of its own size (`limits.py`). Here come, by `limited_PROTO`, the
# first packet of each flow, the further ones of its client, and what closes it, from either side.
set places_PROTO { typeof ip saddr . PROTO sport . ip daddr . PROTO dport; flags dynamic,timeout; size 1; }
chain place_PROTO {
    meta mark & @PLACED@ == 0 update @places_PROTO { OWN timeout @UNANSWERED@s } COUNTS return
    meta mark & @PLACED@ == 0 goto excess_PROTO
    meta mark & @CLOSED@ == 0 update @places_PROTO { OWN timeout @IDLE@s }
    meta mark & @CLOSED@ != 0 delete @places_PROTO { OWN }
    meta mark & @CLOSED@ != 0 delete @places_PROTO { PEER }
}
chain excess_PROTO {
    update @refused_PROTO { ip daddr . PROTO dport }
    counter name connection_limit reject with NO_MEMBER
}

# An endpoint to a client; home: to the pod itself, which it knows as the VIP. In the place of the first rule comes the
# straight one when the table is loaded; until then no answer may pass by.
chain answer_PROTO {
    OWN @reverse_PROTO goto back_PROTO comment "straight"
    meta mark vmap { @DONE@ : goto answered_PROTO, @HALF@ : drop, @FOUND@ : goto found_PROTO }
    IF_TCP tcp flags & (fin | syn | rst | ack) == syn PEER @closing jump direct_tcp
    meta mark @watched goto floating
}
chain found_PROTO {
    meta mark set 0
    goto back_PROTO
}
chain home_PROTO {
    meta mark set 0
    meta mark set ip saddr . meta mark map @endpoint
    goto back_PROTO
}
chain back_PROTO {
    IF_TCP jump ending_tcp
    TOUCH reverse OWN ip saddr
    ip saddr set OWN map @reverse_PROTO SERVICE NOTE "count outward_PROTO"
    meta mark & @DONE@ == 0 drop
    ENDPOINT != 0 ip daddr set ENDPOINT map @endpoint_address
    goto answered_PROTO
}
chain answered_PROTO {
    IF_TCP jump ended_tcp
    TOUCH forward PEER meta mark
}
"""

# A side's key is the headers as that side sends them. half_closed holds the keys of those whose peer has sent a FIN.
TCP = """
set closing { typeof ip saddr . tcp sport . ip daddr . tcp dport; flags dynamic,timeout; size @LIMIT@; }
set half_closed { typeof ip saddr . tcp sport . ip daddr . tcp dport; flags dynamic,timeout; size @LIMIT@; }
chain ending_tcp {
    OWN @closing meta mark set meta mark | @CLOSED@
    tcp flags & rst != 0 meta mark set meta mark | @CLOSED@
    tcp flags & fin != 0 OWN @half_closed meta mark set meta mark | @CLOSED@
    meta mark & @CLOSED@ != 0 update @closing { OWN timeout @CLOSED_FOR@s }
}
# A client that goes to a pod directly, with the ports of a connection to it that has ended.
chain direct_tcp {
    delete @closing { PEER }
    delete @reverse_tcp { PEER : ip saddr }
}
# The mark of what came the straight way, and was not counted or was overtaken by the end, says no more than DONE.
chain ended_tcp {
    PEER @closing meta mark set meta mark | @CLOSED@
    tcp flags & rst != 0 meta mark set meta mark | @CLOSED@
    tcp flags & fin != 0 update @half_closed { PEER timeout @IDLE@s }
    meta mark & @CLOSED@ != 0 goto closed_tcp
}
chain closed_tcp {
    update @closing { PEER timeout @CLOSED_FOR@s }
    ip saddr . tcp sport vmap @limited_tcp
}
"""

# Nothing that a kernel says of itself goes out to the pods: who listens to which multicast, and which way is shorter.
QUIET = """
chain silent {
    type filter hook output priority filter; policy accept;
    icmpv6 type { mld-listener-report, mld-listener-done, mld2-listener-report, nd-redirect } drop
}
"""
