"""IP protocols as rules name them: by IANA's number, or by a name that Contrail knows (contract 5.9, 5.10)."""

from api_server.resources.numerals import decimal

NUMBERS = {
    "ah": 51, "dccp": 33, "egp": 8, "esp": 50, "gre": 47, "hopopt": 0, "icmp": 1, "icmp6": 58, "igmp": 2, "ip": 0,
    "ipip": 4, "ipv6-encap": 41, "ipv6-frag": 44, "ipv6-icmp": 58, "ipv6-nonxt": 59, "ipv6-opts": 60,
    "ipv6-route": 43, "ospf": 89, "pgm": 113, "rsvp": 46, "sctp": 132, "tcp": 6, "udp": 17, "udplite": 136,
    "vrrp": 112,
}  # fmt: skip

ANY = "any"
"""Whatever protocol: 0 where a number stands for it."""


def number_of(protocol: object) -> int | None:
    """Of a protocol in a rule, in any letter case; None: it names none."""
    name = str(protocol).lower()
    return 0 if name == ANY else NUMBERS.get(name, decimal(name, 255))
