"""global-system-config and global-vrouter-config: the settings of the whole system (contract 5.11)."""

import re
import warnings

from api_server.errors import BadRequest
from api_server.resources.autonomous_system import TWO_BYTES, check_asn, system_config
from api_server.resources.drafts import refuse_drafts
from api_server.resources.hooks import Hook
from api_server.resources.routing import TARGET_LISTS, automatic_targets
from api_server.resources.tenancy import SYSTEM_CONFIG
from api_server.store.objects import Object
from api_server.store.transaction import Transaction
from schema.quoting import quote

BGP_PORTS = {"port_start": 50000, "port_end": 50512}
"""Of BGP as a service, if nothing is configured."""


class GlobalSystemConfig(Hook):
    """There is one. Its numbers fit what depends on them."""

    def prepare(self, tx: Transaction, before: Object | None, after: Object) -> None:
        refuse_drafts(after)
        if before is None:
            if after.fq_name != (SYSTEM_CONFIG,):
                one = system_config(tx)
                raise BadRequest(
                    f"Global System Config already exists with name {SYSTEM_CONFIG} ({one.uuid if one else ''})"
                )
            return
        self._log_statistics(after)
        self._asn(tx, before, after)
        self._check_bgp_ports(tx, before, after)

    @staticmethod
    def _log_statistics(after: Object) -> None:
        for one in (after.properties.get("user_defined_log_statistics") or {}).get("statlist") or ():
            try:
                with warnings.catch_warnings(action="ignore"):  # of what a pattern may mean one day
                    re.compile(str(one.get("pattern")))
            except (re.error, RecursionError, OverflowError) as error:  # nested too deep, repeated too often
                raise BadRequest(
                    f"Regex error in user-defined-log-statistics at {one.get('name')}: {quote(one.get('pattern'))} "
                    f"(Error: {error})"
                ) from None

    @staticmethod
    def _asn(tx: Transaction, before: Object, after: Object) -> None:
        asn = after.properties.get("autonomous_system")
        check_asn(after, asn)
        was = before.properties.get("autonomous_system")
        if not asn or asn == was:
            return
        if asn > TWO_BYTES >= (was or 0):  # sub-clusters have the bytes that it leaves
            for cluster in tx.holding("sub-cluster", '"sub_cluster_id"'):
                if cluster.properties["sub_cluster_id"] > TWO_BYTES:
                    raise BadRequest("Cannot reduce Sub-Cluster ID to 2 bytes, some IDs are bigger than 2 bytes: "
                                     f"{':'.join(cluster.fq_name)} has {cluster.properties['sub_cluster_id']}"
                                     )  # fmt: skip
        clashes = [
            clash
            for kind in TARGET_LISTS
            for named in tx.holding(kind, f'"target:{asn}:')
            for clash in automatic_targets(named, asn)
        ]
        if clashes:
            raise BadRequest(
                f"Route targets are configured with this ASN {asn} and a value in the same range as used by "
                f"automatically allocated route targets: {'; '.join(clashes)}"
            )

    @staticmethod
    def _check_bgp_ports(tx: Transaction, before: Object, after: Object) -> None:
        now, then = _bgp_ports(after), _bgp_ports(before)
        if now == then:
            return
        if now["port_start"] > now["port_end"]:
            raise BadRequest("Invalid Port range specified")
        shrunk = now["port_start"] > then["port_start"] or now["port_end"] < then["port_end"]
        if shrunk and tx.holding("bgp-as-a-service", ""):
            raise BadRequest("BGP Port range cannot be shrunk")


def _bgp_ports(config: Object) -> dict[str, int]:
    given = config.properties.get("bgpaas_parameters") or {}
    return BGP_PORTS | {name: port for name, port in given.items() if port is not None}


class GlobalVrouterConfig(Hook):
    """What is not seen from the model alone."""

    def prepare(self, tx: Transaction, before: Object | None, after: Object) -> None:
        for pool in (after.properties.get("port_translation_pools") or {}).get("port_translation_pool") or ():
            ports = pool.get("port_range") or {}
            if (ports.get("start_port") or 0) > (ports.get("end_port") or 0):
                raise BadRequest(f"port_translation_pools: Invalid Port range specified: {ports}")
