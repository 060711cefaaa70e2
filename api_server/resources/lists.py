"""What a list request asks for, from a URL or from the body of `/list-bulk-collection` (contract 3.1, 3.5)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from api_server.errors import BadRequest, NotFound
from api_server.resources import filters, sharing
from api_server.resources.body import ROOT
from api_server.resources.filters import Filter
from api_server.resources.standard import NOBODY, Caller
from schema.model import ObjectModel, ResourceType
from schema.quoting import quote

PAGE_LIMIT = 256  # Contrail's default for `page_limit`
MOST = 2**31 - 1  # objects of one page: what fits an SQL integer
SHARED = "shared:"  # begins the marker of a page among shared objects


@dataclass(frozen=True, slots=True)
class Query:
    """A list of one type. The anchors (parents, back_refs, uuids and names) all hold; None: not given.

    fields: as asked for, unknown ones too; None: not given. parent_name: instead of parents. names: beside uuids.
    shared: with whom objects are shared that are shown too (`sharing.callers`); None: they are not.
    marker: where the page starts ("" for the first); None: not paged.
    """

    type: ResourceType
    detail: bool = False
    count: bool = False
    hrefs: bool = True
    fields: frozenset[str] | None = None
    parents: list[str] | None = None
    parent_name: tuple[tuple[str, ...], list[str]] | None = None
    back_refs: list[str] | None = None
    uuids: list[str] | None = None
    names: list[str] | None = None
    filter: Filter | None = None
    shared: tuple[str, ...] | None = None
    marker: str | None = None
    limit: int = PAGE_LIMIT

    def unpaged(self) -> "Query":
        return replace(self, marker=None)


def _flag(value: Any) -> bool:
    """True in any letter case, wherever in the text (contract 3.1)."""
    return "true" in value.lower() if isinstance(value, str) else bool(value)


def _listed(values: Mapping[str, Any], name: str) -> list[str] | None:
    """None: not given. An empty text is a list of one name that nothing has."""
    value = values.get(name)
    if value is None:
        return None
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return value
    if not isinstance(value, str):
        raise BadRequest(f"Bad Request, {name} must be text, comma separated: {quote(value)}")
    return value.split(",")


def _parent_name(
    model: ObjectModel, type: ResourceType, values: Mapping[str, Any]
) -> tuple[tuple[str, ...], list[str]] | None:
    """The parent's name and the types it may have; tried are all parent types unless one is named."""
    text = values.get("parent_fq_name_str")
    if text is None:
        return None
    if not isinstance(text, str):
        raise BadRequest(f"Bad Request, parent_fq_name_str must be text: {quote(text)}")
    named = values.get("parent_type")
    if named is None:
        return tuple(text.split(":")), list(type.parents)
    found = model.find(named) if isinstance(named, str) else None
    if found is None:
        raise NotFound(f"Resource type '{quote(named)}' not found")
    if found.name not in type.parents and not (found.name == ROOT and type.is_root):
        raise BadRequest(f"Invalid parent type: {quote(named)}. Allowed types: {list(type.parents)}")
    return tuple(text.split(":")), [found.name]


def _marker(values: Mapping[str, Any]) -> str | None:
    """Where the page starts; None: the list is not paged."""
    if "page_marker" not in values:
        return None
    marker = values["page_marker"]
    if not marker or str(marker).lower() == "none":
        return ""
    try:
        UUID(str(marker).rpartition(":")[2])
    except ValueError as error:
        raise BadRequest(f"Invalid page_marker {quote(marker)}: {error}") from None
    return str(marker)


def _limit(values: Mapping[str, Any]) -> int:
    """How many objects a page has at most."""
    given = values.get("page_limit")
    if given is None:
        return PAGE_LIMIT
    reason = "page_limit has to be greater than zero"
    try:
        if (limit := int(given)) > 0:
            return min(limit, MOST)
    except (TypeError, ValueError, OverflowError) as error:
        reason = str(error)
    raise BadRequest(f"Invalid page_limit {quote(given)}: {reason}")


def _shared(values: Mapping[str, Any], parents: list[str] | None, caller: Caller) -> tuple[str, ...] | None:
    """With whom they are shared: with the caller's project, else with the projects asked for as parents."""
    if not _flag(values.get("shared")):
        return None
    if caller.project:
        return sharing.callers([caller.project], caller.domain)
    for uuid in parents or ():
        try:
            UUID(uuid)
        except ValueError as error:
            raise BadRequest(f"Invalid parent_id {quote(uuid)}: {error}") from None
    return sharing.callers(parents or [""], caller.domain)


def read(
    model: ObjectModel,
    type: ResourceType,
    values: Mapping[str, Any],
    caller: Caller = NOBODY,
) -> Query:
    """BadRequest or NotFound as the contract words them. Unknown parameters and fields are ignored."""
    text, fields, parents = values.get("filters"), _listed(values, "fields"), _listed(values, "parent_id")
    if text and not isinstance(text, str):
        raise BadRequest(f"Invalid filter {quote(text)}")
    hrefs = values.get("exclude_hrefs")
    return Query(
        type,
        detail=_flag(values.get("detail")),
        count=_flag(values.get("count")),
        hrefs=not (isinstance(hrefs, str) or hrefs),
        fields=None if fields is None else frozenset(fields),
        parents=parents,
        parent_name=_parent_name(model, type, values),
        back_refs=_listed(values, "back_ref_id"),
        uuids=_listed(values, "obj_uuids"),
        names=_listed(values, "fq_names"),
        filter=filters.make(type, text or None),
        shared=_shared(values, parents, caller),
        marker=_marker(values),
        limit=_limit(values),
    )
