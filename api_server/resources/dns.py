"""virtual-DNS and virtual-DNS-record: names and values as DNS allows them (contract 5.11). Contrail answers 403 to what
is wrong here."""

import re
from collections.abc import Iterable
from typing import Any

from api_server.errors import BadRequest, Forbidden
from api_server.resources.hooks import Hook
from api_server.resources.subnets import parse
from api_server.resources.tenancy import share
from api_server.store.objects import Change, Object
from api_server.store.transaction import Transaction
from schema.quoting import quote

SERVER_NAME = re.compile(r"(?!-)[A-Za-z0-9-]+")
LABEL = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)")
LONGEST_NAME = 255
TTLS = range(2**31)
PREFERENCES = range(2**16)


def is_dns_name(name: Any) -> bool:
    """Of letters, digits and inner hyphens; a dot may end it."""
    if not isinstance(name, str) or len(name) > LONGEST_NAME:
        return False
    return all(LABEL.fullmatch(label) for label in name.removesuffix(".").split("."))


def is_address(text: Any, version: int) -> bool:
    address = parse(text)
    return address is not None and address.version == version


class VirtualDns(Hook):
    """The tenants of its domain may use it. Two do not forward to each other."""

    DATA = "virtual_DNS_data"

    def prepare(self, tx: Transaction, before: Object | None, after: Object) -> None:
        data = after.properties.get(self.DATA)
        if before is None:
            share(after, f"domain:{after.parent_uuid}", 5)
            if not SERVER_NAME.fullmatch(after.fq_name[-1]):
                raise Forbidden("Special characters are not allowed in Virtual DNS server name")
        elif data == before.properties.get(self.DATA):
            return
        if not data:
            raise BadRequest(f"{self.DATA} needed for virtual-DNS")
        if not is_dns_name(data.get("domain_name")):
            raise Forbidden("Domain name does not adhere to DNS name requirements")
        if (data.get("default_ttl_seconds") or 0) not in TTLS:
            raise BadRequest("Invalid value for TTL")
        self._check_next(tx, after, data.get("next_virtual_DNS"))

    def further(self, tx: Transaction, before: Object | None, after: Object | None) -> Iterable[Change]:
        if before is None or after is not None:
            return ()
        name = ":".join(before.fq_name)
        if any(_next(server) == name for server in tx.children(before.parent_uuid or "", before.type)):
            raise Forbidden("Virtual DNS server is referred by other virtual DNS servers")
        return ()

    @staticmethod
    def _check_next(tx: Transaction, after: Object, name: str | None) -> None:
        if not name:
            return
        found = tx.named(after.type, name.split(":"))
        if found is None:
            if not is_address(name, 4):
                raise BadRequest("Invalid Virtual Forwarder(next virtual dns server)")
        elif _next(found) == ":".join(after.fq_name) or found.uuid == after.uuid:
            raise Forbidden("Cannot have Virtual DNS Servers referring to each other")


class VirtualDnsRecord(Hook):
    """Its name and its data are of its type."""

    DATA = "virtual_DNS_record_data"

    def prepare(self, tx: Transaction, before: Object | None, after: Object) -> None:
        data = after.properties.get(self.DATA)
        if before is not None and data == before.properties.get(self.DATA):
            return
        if not data:
            raise BadRequest(f"{self.DATA} needed for virtual-DNS-record")
        kind, name, value = str(data.get("record_type")).upper(), data.get("record_name"), data.get("record_data")
        if kind == "PTR":
            reverse = isinstance(name, str) and any(zone in name.lower() for zone in ("in-addr.arpa", "ip6.arpa"))
            if not reverse and parse(name) is None:
                raise Forbidden("PTR Record name has to be IP address or reverse.ip.in-addr.arpa")
        elif not is_dns_name(name):
            raise Forbidden("Record name does not adhere to DNS name requirements")
        self._check_value(tx, kind, value)
        if (data.get("record_ttl_seconds") or 0) not in TTLS:
            raise Forbidden("Invalid value for TTL")
        if kind == "MX" and (data.get("record_mx_preference") or 0) not in PREFERENCES:
            raise Forbidden("Invalid value for MX record preference")

    @staticmethod
    def _check_value(tx: Transaction, kind: str, value: Any) -> None:
        if kind == "A":
            if not is_address(value, 4):
                raise Forbidden("Invalid IP address")
        elif kind == "AAAA":
            if not is_address(value, 6):
                raise Forbidden("Invalid IPv6 address")
        elif kind in ("CNAME", "PTR", "MX"):
            if not is_dns_name(value):
                raise Forbidden("Record data does not adhere to DNS name requirements")
        elif kind == "NS":
            server = tx.find("virtual-DNS", value.split(":")) if isinstance(value, str) else None
            if server is None and not is_address(value, 4) and not is_dns_name(value):
                raise Forbidden("Invalid virtual dns server in record data")
        else:
            raise Forbidden(f"Invalid record type {quote(kind)}")


def _next(server: Object) -> Any:
    return (server.properties.get(VirtualDns.DATA) or {}).get("next_virtual_DNS")
