"""An export of a part, put into a database that has other objects, by one request.

Objects keep uuid, name, properties and references; times and revision are the import's, and servers and watchers hear
of it. The object it stands below and what it refers to outside are found by name. Numbers that the server itself has
chosen (network ids) are chosen anew where they are taken; addresses are not.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from api_server.care.document import BadDocument, Line
from api_server.care.holdings import holds_of, keys_of, ranges_of
from api_server.care.opening import finish, request
from api_server.care.reading import Reading, number_of, text_of
from api_server.care.restore import Identity, Refused
from api_server.resources.hooks import perform
from api_server.resources.loadbalancing import Driver
from api_server.store import names
from api_server.store.objects import Create, Object, Reference, Update
from api_server.store.session import Session


@dataclass(slots=True)
class Grafted:
    """renumbered: numbers chosen anew, in words."""

    objects: int
    renumbered: list[str] = field(default_factory=list)


class Graft:
    """One import of a part into a `writing` session."""

    def __init__(self, session: Session, reading: Reading) -> None:
        self.session = session
        self.reading = reading
        self.registry = reading.registry
        self.tx = request(session, "db import")
        self.objects = [found for _, found in reading.objects()]

    def run(self) -> Grafted:
        """BadDocument, Refused: nothing of it may be kept."""
        self._check()
        result = Grafted(len(self.objects))
        for found in self.objects:
            result.renumbered += self._number(found)
        self._create()
        self._take()
        for line in self.reading.lines():
            if "type" not in line.value:
                self._take_line(line)
        for found in self.objects:
            self._link(found)
        finish(self.session, self.tx)
        return result

    def _check(self) -> None:
        """Refused with all that is in the way. Parents and targets outside get the uuid they have here, in place."""
        inside = {found.uuid: (found.type, found.fq_name) for found in self.objects}
        if len(set(inside.values())) < len(self.objects):
            raise BadDocument("two objects have one name or one uuid")
        missing: dict[Identity, None] = {}

        def here(uuid: str, kind: str, fq_name: tuple[str, ...]) -> str:
            found = uuid if inside.get(uuid) == (kind, fq_name) else self.tx.find(kind, fq_name)
            if found is None:
                missing[kind, fq_name] = None
            return found or uuid

        standing = [self._named(found) for found in self.objects if self._stands(found)]
        for found in self.objects:
            if found.parent_uuid and found.parent_type:
                found.parent_uuid = here(found.parent_uuid, found.parent_type, found.fq_name[:-1])
            for references in found.references.values():
                for reference in references:
                    reference.uuid = here(reference.uuid, reference.type, reference.fq_name)
        reasons = [f"these objects, or others with their uuids, are there already: {', '.join(standing)}"]
        if missing:
            absent = ", ".join(f"{kind} {names.join(fq_name)}" for kind, fq_name in missing)
            reasons.append(f"it stands below, or refers to, what is not there: {absent}")
        if standing or missing:
            raise Refused("; ".join(reasons if standing else reasons[1:]))

    def _stands(self, found: Object) -> bool:
        return self.tx.find(found.type, found.fq_name) is not None or self.tx.identify(found.uuid) is not None

    @staticmethod
    def _named(found: Object) -> str:
        return f"{found.type} {names.join(found.fq_name)} ({found.uuid})"

    def _number(self, found: Object) -> Iterator[str]:
        """Take the numbers the server chooses: those it has where they are free, else others."""
        for held in holds_of(self.tx, self.registry, found):
            if held.renumber is None or self._took(held.pool, held.ranges, found.uuid, held.number):
                continue
            number = self.tx.take(held.pool, held.ranges, found.uuid)
            if number is None:
                raise Refused(f"No number of {held.pool} is free")
            held.renumber(found, number)
            yield f"{self._named(found)}: {held.what} is taken, it has {number} of {held.pool} now"

    def _took(self, pool: str, ranges: list[tuple[int, int]], holder: str, number: int) -> bool:
        return bool(pool) and self.tx.take(pool, ranges, holder, wanted=number) is not None

    def _create(self) -> None:
        """A same-type reference stands on both sides, so both have to be there before it."""
        mutual: list[tuple[Object, str, list[Reference]]] = []
        for found in self.objects:
            ref_field = names.field(found.type)
            if ref_field in found.references:
                mutual.append((found, ref_field, found.references.pop(ref_field)))
            self.tx.apply(Create(found), keys_of(self.tx, self.registry, found))
        for found, ref_field, references in mutual:
            before = self.tx.get(found.uuid)
            assert before is not None
            after = before.copy()
            after.references[ref_field] = references
            self.tx.apply(Update(before, after))

    def _take(self) -> None:
        """Take the numbers clients have chosen, addresses above all. Refused with all that are not to be had."""
        refused = [
            f"{held.what} for {self._named(found)}"
            for found in self.objects
            for held in holds_of(self.tx, self.registry, found)
            if held.renumber is None and not self._took(held.pool, held.ranges, found.uuid, held.number)
        ]
        if refused:
            raise Refused(f"these numbers are not to be had: {', '.join(refused)}")

    def _take_line(self, line: Line) -> None:
        """A number that something else than an object holds, of a pool of an object of the part."""
        if "holder" not in line.value:
            raise line.bad("an object (type) or a taken number (holder) expected")
        pool, holder = text_of(line, line.value, "pool"), text_of(line, line.value, "holder")
        number, ranges = int(number_of(line, "number"), 16), ranges_of(self.tx, self.registry, pool)
        if ranges is None or not self._took(pool, ranges, holder, number):
            raise line.bad(f"number {number} is not to be had")

    def _link(self, found: Object) -> None:
        """Load balancers to what is here. What other hooks make of a new object is in the document."""
        for hook in self.registry.get(found.type, ()):
            if isinstance(hook, Driver):
                for change in hook.further(self.tx, None, found):
                    perform(self.tx, self.registry, change)
