"""What the back-end says of the things a question is about."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from vrouter.backends.lookup import Group
from vrouter.backends.protocol import Backend, BackendError, Places, Stat
from vrouter.state import Key, Vip

Place = tuple[Key, str, int, str | None]
"""A VIP's key, protocol and port of a listener, interface of a member."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """groups: of a VIP, by its key, as they stand. carriers: of interfaces that are missing in one. stats: of the VIPs'
    members. places: of limited listeners, by VIP, protocol and port. failure: why the back-end could not be asked."""

    groups: Mapping[Key, Sequence[Group]] = field(default_factory=dict)
    carriers: Mapping[str, bool | None] = field(default_factory=dict)
    stats: Mapping[Place, Stat] = field(default_factory=dict)
    places: Mapping[tuple[Key, str, int], Places] = field(default_factory=dict)
    failure: str = ""

    def group(self, vip: Vip, listener: tuple[str, int] | None = None) -> Group | None:
        """A listener's, which is the VIP's own where it is the only one."""
        groups = self.groups.get(vip.key, ())
        return next((one for one in groups if one.listener == listener), groups[0] if groups else None)


def gather(backend: Backend, vips: Iterable[Vip], interfaces: Collection[str]) -> Evidence:
    """Runs in the backend's thread. interfaces: uuids of which to ask the carrier in any case."""
    groups: dict[Key, Sequence[Group]] = {}
    stats: dict[Place, Stat] = {}
    places: dict[tuple[Key, str, int], Places] = {}
    missing = set(interfaces)
    try:
        for vip in vips:
            groups[vip.key] = backend.groups(vip.vrf, vip.address)
            stats |= {(vip.key, one.protocol, one.port, one.member): one for one in backend.counts(vip)}
            places |= {(vip.key, one.protocol, one.port): one for one in backend.places(vip)}
            standing = {share.interface for group in groups[vip.key][:1] for share in group.members}
            missing |= vip.backends.keys() - standing
        return Evidence(groups, {uuid: backend.carrier(uuid) for uuid in sorted(missing)}, stats, places)
    except BackendError as error:
        return Evidence(groups, failure=str(error))
