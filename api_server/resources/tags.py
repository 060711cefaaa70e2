"""tag and tag-type, and which tags an object may have together (contract 2.6, 5.10).

A tag is its type and its value: they make its name, `application=web`, and its id, which is that of the type (16 bits)
and that of the value (16 bits). It is the id that the data plane compares. Tags that clients want under an id of their
own have the upper half of each; the lower half is given out here. Types come with their first tag and go with their
last, except those that Contrail itself knows, which have fixed ids.
"""

import re
from collections.abc import Iterable

from api_server.errors import BadRequest
from api_server.resources.body import Body, read_fq_name
from api_server.resources.hooks import Held, Hook
from api_server.store.objects import Change, Create, Delete, Object, Reference
from api_server.store.transaction import Transaction
from api_server.store.view import View
from schema.quoting import quote, title

PREDEFINED = {
    "label": 0, "application": 1, "tier": 2, "deployment": 3, "site": 4, "neutron_fwaas": 5, "neutron_tag": 6,
}  # fmt: skip
"""The types that always exist, and their ids."""

SEVERAL = frozenset({"label", "neutron_fwaas", "neutron_tag"})
"""Types of which an object may have more than one tag."""

TYPE_IDS = ("tag-type-id", [(0x00FF, 0x7FFF)])
VALUE_IDS = [(0x0000, 0x7FFF)]
CHOSEN_IDS = [(0x8000, 0xFFFF)]
"""Of types and values alike: those a client may ask for."""

HEXADECIMAL = re.compile(r"(0[xX])?[0-9a-fA-F]{1,16}")


def type_of(fq_name: tuple[str, ...]) -> str:
    """Of a tag, by its name."""
    return fq_name[-1].partition("=")[0]


def check_tags(object: Object) -> None:
    """BadRequest names the type of which there are two, or that this object may not have.

    A firewall rule's tags are those its end points name, which may well be two of a type.
    """
    tags = object.references.get("tag_refs")
    if not tags or object.type == "firewall-rule":
        return
    seen = set()
    for tag in tags:
        tag_type = type_of(tag.fq_name)
        check_type(object.type, tag_type)
        if tag_type in seen:
            raise BadRequest(
                f"Tag type '{quote(tag_type)}' cannot be set multiple times on the same {title(object.type)} "
                "resource type"
            )
        if tag_type not in SEVERAL:
            seen.add(tag_type)


def check_type(kind: str, tag_type: str) -> None:
    """An address-group is named by labels, nothing else."""
    if kind == "address-group" and tag_type != "label":
        raise BadRequest(f"Invalid tag type {quote(tag_type)} for object type address_group")


class Tag(Hook):
    """Name and id from type and value, none of which ever changes."""

    FROZEN = ("display_name", "tag_type_name", "tag_value", "tag_id")

    def receive(self, body: Body) -> None:
        tag_type, value = body.properties.get("tag_type_name"), body.properties.get("tag_value")
        if not tag_type or value is None:
            raise BadRequest("Tag must be created with a type and a value")
        tag_type = tag_type.lower()
        if "=" in tag_type:
            raise BadRequest(f"Tag type must not have a '=': {quote(tag_type)}")
        name = f"{tag_type}={value}"
        body.fq_name = read_fq_name(body.type, [*body.fq_name[:-1], name])
        body.properties |= {"tag_type_name": tag_type, "display_name": name}

    def require(self, tx: Transaction, before: Object | None, after: Object) -> Iterable[Change]:
        if before is not None:
            return
        if after.references.get("tag_type_refs"):
            raise BadRequest("Tag Type reference is not setable")
        wanted = asked(after, "tag_id")
        if wanted is not None and not is_chosen(wanted & 0xFFFF):
            raise BadRequest("Tag id can be set only for user defined tags in range 32768-65535")
        name = (type_of(after.fq_name),)
        if tx.find("tag-type", name) is None:
            missing = Object("tag-type", "", name, properties={"id_perms": {"user_visible": False}})
            if wanted is not None:
                missing.properties["tag_type_id"] = hexadecimal(wanted >> 16)
            yield Create(missing)

    def prepare(self, tx: Transaction, before: Object | None, after: Object) -> None:
        if before is None:
            self._number(tx, after)
            return
        if any(after.properties.get(name) != before.properties.get(name) for name in self.FROZEN):
            raise BadRequest("Tag name, type, value or ID cannot be updated")
        if after.targets("tag-type") != before.targets("tag-type"):
            raise BadRequest("Tag-type reference cannot be updated")

    def further(self, tx: Transaction, before: Object | None, after: Object | None) -> Iterable[Change]:
        """The last tag takes its type along."""
        if after is not None or before is None or (name := type_of(before.fq_name)) in PREDEFINED:
            return
        tag_type = tx.get(tx.find("tag-type", (name,)) or "")
        if tag_type is not None and not any(tx.taken(pool) for pool in value_pools(name)):
            yield Delete(tag_type)

    def holds(self, tx: View, object: Object) -> Iterable[Held]:
        tag_id = asked(object, "tag_id")
        if tag_id is not None:
            number, (given_out, chosen) = tag_id & 0xFFFF, value_pools(type_of(object.fq_name))
            if is_chosen(number):
                yield Held(chosen, CHOSEN_IDS, number, f"tag id {hexadecimal(tag_id, 8)}")
            else:
                yield Held(given_out, VALUE_IDS, number, f"tag id {hexadecimal(tag_id, 8)}", _renumber)

    @staticmethod
    def _number(tx: Transaction, after: Object) -> None:
        tag_type = tx.get(tx.find("tag-type", (type_of(after.fq_name),)) or "")
        assert tag_type is not None, "required"
        type_id = str(tag_type.properties["tag_type_id"])
        wanted = asked(after, "tag_id")
        if wanted is not None and wanted >> 16 not in (0, int(type_id, 16)):
            raise BadRequest(f"Tag id {hexadecimal(wanted, 8)} is not of tag type {tag_type.fq_name[0]}: {type_id}")
        given_out, chosen = value_pools(tag_type.fq_name[0])
        if wanted is None:
            number = tx.take(given_out, VALUE_IDS, after.uuid)
        else:
            number = tx.take(chosen, CHOSEN_IDS, after.uuid, wanted=wanted & 0xFFFF)
        if number is None:
            raise BadRequest("Failed to allocate tag Id" if wanted is None else "Requested Tag id is already allocated")
        after.properties["tag_id"] = f"{type_id}{number:04x}"
        after.references["tag_type_refs"] = [Reference("tag-type", tag_type.uuid, tag_type.fq_name)]


class TagType(Hook):
    """Its id. Mostly a tag brings it along."""

    FROZEN = ("display_name", "tag_type_id")

    def receive(self, body: Body) -> None:
        body.properties["display_name"] = body.fq_name[-1]

    def prepare(self, tx: Transaction, before: Object | None, after: Object) -> None:
        if before is None:
            after.properties["tag_type_id"] = hexadecimal(self._number(tx, after))
        elif any(after.properties.get(name) != before.properties.get(name) for name in self.FROZEN):
            raise BadRequest("Tag Type value or ID cannot be updated")

    def further(self, tx: Transaction, before: Object | None, after: Object | None) -> Iterable[Change]:
        if after is None and before is not None:
            for pool in value_pools(before.fq_name[-1]):
                tx.drop_pool(pool)
        return ()

    def holds(self, tx: View, object: Object) -> Iterable[Held]:
        number, (pool, ranges) = asked(object, "tag_type_id"), TYPE_IDS
        if number is not None and object.fq_name[-1] not in PREDEFINED:
            found = (f"{pool}:chosen", CHOSEN_IDS) if is_chosen(number) else (pool, ranges)
            yield Held(*found, number, f"tag type id {hexadecimal(number)}")

    @staticmethod
    def _number(tx: Transaction, after: Object) -> int:
        fixed, wanted = PREDEFINED.get(after.fq_name[-1]), asked(after, "tag_type_id")
        pool, ranges = TYPE_IDS
        if wanted is None:
            number = tx.take(pool, ranges, after.uuid) if fixed is None else fixed
        elif fixed is not None or not is_chosen(wanted):
            raise BadRequest("Tag type can be set only with user defined id in range 32768-65535")
        else:
            number = tx.take(f"{pool}:chosen", CHOSEN_IDS, after.uuid, wanted=wanted)
        if number is None:
            failed = "Failed to allocate tag type Id" if wanted is None else "Tag Type with same Id already exists"
            raise BadRequest(failed)
        return number


def _renumber(tag: Object, number: int) -> None:
    """Another value of its type."""
    type_id = str(tag.properties["tag_id"])[:-4]
    tag.properties["tag_id"] = f"{type_id}{number:04x}"


def value_pools(tag_type: str) -> tuple[str, str]:
    """Of the values of a type: given out, and chosen by clients."""
    return f"tag-value-id:{tag_type}", f"tag-value-id:chosen:{tag_type}"


def asked(object: Object, field: str) -> int | None:
    """The id a client wants, text in hexadecimal digits."""
    text = object.properties.get(field)
    if not text:
        return None
    if not HEXADECIMAL.fullmatch(text):
        raise BadRequest(f"{field} must be in hexadecimal: {quote(text)}")
    return int(text, 16)


def is_chosen(number: int) -> bool:
    return any(first <= number <= last for first, last in CHOSEN_IDS)


def hexadecimal(number: int, digits: int = 4) -> str:
    return f"0x{number:0{digits}x}"
