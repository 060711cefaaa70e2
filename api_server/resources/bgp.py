"""bgp-router, bgp-as-a-service and sub-cluster: numbers that BGP and the system allow (contract 5.11)."""

from collections.abc import Iterable
from typing import Any

from api_server.errors import BadRequest
from api_server.resources.autonomous_system import FOUR_BYTES, TWO_BYTES, check_asn, global_asn, system_config
from api_server.resources.hooks import Held, Hook
from api_server.store.objects import Object
from api_server.store.transaction import Transaction
from api_server.store.view import View

SUB_CLUSTER_IDS = ("sub-cluster-id", [(1, FOUR_BYTES)])


def check_hold_time(seconds: Any) -> None:
    """RFC 4271, section 4.2."""
    if seconds in (1, 2):
        raise BadRequest("BGPaaS: Hold Time MUST be either zero or at least three seconds")


class BgpRouter(Hook):
    """A speaker of a sub-cluster is of its autonomous system, a control node of one zone."""

    PARAMETERS = "bgp_router_parameters"

    def prepare(self, tx: Transaction, before: Object | None, after: Object) -> None:
        parameters = after.properties.get(self.PARAMETERS) or {}
        asn = parameters.get("autonomous_system")
        if before is None or before.properties.get(self.PARAMETERS) != parameters:
            check_hold_time(parameters.get("hold_time"))
            config = system_config(tx)
            check_asn(config, asn)
            check_asn(config, parameters.get("local_autonomous_system"))
        for cluster in tx.get_many(after.targets("sub-cluster")) if asn else ():
            if cluster.properties.get("sub_cluster_asn") != asn:
                raise BadRequest("Subcluster asn and bgp asn should be same")
        zones = after.targets("control-node-zone")
        if len(zones) > 1:
            raise BadRequest("BgpRouter should refer only one control-node-zone")
        if zones and parameters.get("router_type") != "control-node":
            raise BadRequest("BgpRouter type should be 'control-node' to refer control-node-zone")


class BgpAsAService(Hook):
    """A session that is shared has an address, and stays shared."""

    SESSION = "bgpaas_session_attributes"

    def prepare(self, tx: Transaction, before: Object | None, after: Object) -> None:
        session = after.properties.get(self.SESSION) or {}
        check_hold_time(session.get("hold_time"))
        numbers = after.properties.get("autonomous_system"), session.get("local_autonomous_system")
        if any(numbers):
            config = system_config(tx)
            for number in numbers:
                check_asn(config, number)
        self._zones(after)
        shared = bool(after.properties.get("bgpaas_shared"))
        if before is None:
            if shared and not after.properties.get("bgpaas_ip_address"):
                raise BadRequest("BGPaaS IP Address needs to be configured if BGPaaS is shared")
        elif shared != bool(before.properties.get("bgpaas_shared")):
            raise BadRequest("BGPaaS sharing cannot be modified")

    @staticmethod
    def _zones(after: Object) -> None:
        kinds = [
            (zone.attr or {}).get("bgpaas_control_node_zone_type")
            for zone in after.references.get("control_node_zone_refs", ())
        ]
        for kind in kinds:
            if kinds.count(kind) > 1:
                raise BadRequest(f"BGPaaS has configured with more than one {kind} control-node-zones")


class SubCluster(Hook):
    """Has a number: two bytes where the autonomous system takes four, four where it takes two."""

    def prepare(self, tx: Transaction, before: Object | None, after: Object) -> None:
        if before is not None and before.properties.get("sub_cluster_asn") != after.properties.get("sub_cluster_asn"):
            raise BadRequest("Sub cluster ASN can not be modified")
        was = before.properties.get("sub_cluster_id") if before is not None else None
        asked = after.properties.get("sub_cluster_id") or was
        if asked is not None and asked == was:
            after.properties["sub_cluster_id"] = was
            return
        most = TWO_BYTES if (global_asn(tx) or 0) > TWO_BYTES else FOUR_BYTES
        if asked is not None and not 1 <= asked <= most:
            raise BadRequest(
                f"Requested ID {asked} is out of the range. Two bytes if global ASN uses four bytes, four bytes if "
                "global ASN uses two bytes. IDs start from 1"
            )
        number = tx.take(*SUB_CLUSTER_IDS, after.uuid, wanted=asked)
        if number is None:
            raise BadRequest(f"Sub-cluster ID '{asked}' is already used, choose another one")
        if was is not None:
            tx.release(SUB_CLUSTER_IDS[0], was)
        after.properties["sub_cluster_id"] = number

    def holds(self, tx: View, object: Object) -> Iterable[Held]:
        number = object.properties.get("sub_cluster_id")
        if number is not None:
            yield Held(*SUB_CLUSTER_IDS, number, f"sub-cluster id {number}")
