"""physical-router: what is seen without a device manager (contract 5.11)."""

from api_server.errors import BadRequest
from api_server.resources.hooks import Hook
from api_server.store.objects import Object
from api_server.store.transaction import Transaction


class PhysicalRouter(Hook):
    """A new one is not on its way out or back, and has one way of telemetry."""

    def prepare(self, tx: Transaction, before: Object | None, after: Object) -> None:
        state = after.properties.get("physical_router_managed_state")
        if before is None and state in ("rma", "activating"):
            raise BadRequest(f"Managed state cannot be {state} for router {list(after.fq_name)}")
        profiles = after.references.get("telemetry_profile_refs", [])
        if len(profiles) > 1:
            raise BadRequest(f"Physical router {list(after.fq_name)} has more than one telemetry profile refs "
                             f"{[list(profile.fq_name) for profile in profiles]}")  # fmt: skip
