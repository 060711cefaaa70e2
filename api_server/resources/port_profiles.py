"""port-profile and storm-control-profile: what the ports of a fabric are set to (contract 5.11)."""

from api_server.errors import BadRequest
from api_server.resources.hooks import Hook
from api_server.store.objects import Object
from api_server.store.transaction import Transaction

MULTICAST = ("no_multicast", "no_unregistered_multicast", "no_registered_multicast")
RECOVERY_SECONDS = range(10, 3601)


class PortProfile(Hook):
    """Has one storm control."""

    def prepare(self, tx: Transaction, before: Object | None, after: Object) -> None:
        profiles = after.references.get("storm_control_profile_refs", [])
        if len(profiles) > 1:
            raise BadRequest(f"Port profile {list(after.fq_name)} has more than one storm profile refs "
                             f"{[list(profile.fq_name) for profile in profiles]}")  # fmt: skip


class StormControlProfile(Hook):
    """How much is too much, in percent, of which kind of multicast, and for how long a port then stays down."""

    def prepare(self, tx: Transaction, before: Object | None, after: Object) -> None:
        parameters = after.properties.get("storm_control_parameters")
        if not parameters:
            return
        percent, seconds = (parameters.get(name) for name in ("bandwidth_percent", "recovery_timeout"))
        if percent is None or not 0 < percent <= 100:
            raise BadRequest(f"Invalid bandwidth percentage {percent}")
        if seconds and seconds not in RECOVERY_SECONDS:
            raise BadRequest(f"Invalid recovery timeout {seconds}")
        if sum(bool(parameters.get(name)) for name in MULTICAST) > 1:
            raise BadRequest("Cannot select more than one multicast traffic option.")
