"""What a list request asks for, from a URL or from the body of `/list-bulk-collection` (contract 3.1, 3.5)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from api_server.errors import BadRequest, NotFound
from api_server.resources import filters
from api_server.resources.filters import Filter
from schema.model import ObjectModel, ResourceType
from schema.quoting import quote

PAGE_LIMIT = 256  # Contrail's default for `page_limit`
MOST = 2**31 - 1  # objects of one page: what fits an SQL integer


@dataclass(frozen=True, slots=True)
class Query:
    """A list of one type. The anchors (parents, back_refs, uuids, names) all hold; None: not given.

    fields: as asked for, unknown ones too. marker: where the page starts ("" for the first); None: not paged.
    """

    type: ResourceType
    detail: bool = False
    count: bool = False
    hrefs: bool = True
    fields: frozenset[str] = frozenset()
    parents: list[str] | None = None
    parent_name: tuple[tuple[str, ...], list[str]] | None = None
    back_refs: list[str] | None = None
    uuids: list[str] | None = None
    names: list[str] | None = None
    filter: Filter | None = None
    marker: str | None = None
    limit: int = PAGE_LIMIT

    def unpaged(self) -> "Query":
        return replace(self, marker=None)


def _flag(value: Any) -> bool:
    """True in any letter case, wherever in the text (contract 3.1)."""
    return "true" in value.lower() if isinstance(value, str) else bool(value)


def _listed(values: Mapping[str, Any], name: str) -> list[str] | None:
    value = values.get(name)
    if value is None or value == "":
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
    if not text or not isinstance(text, str):
        return None
    named = values.get("parent_type")
    if not named:
        return tuple(text.split(":")), list(type.parents)
    found = model.find(named) if isinstance(named, str) else None
    if found is None:
        raise NotFound(f"Resource type '{quote(named)}' not found")
    if found.name not in type.parents:
        raise BadRequest(f"Invalid parent type: {quote(named)}. Allowed types: {list(type.parents)}")
    return tuple(text.split(":")), [found.name]


def _page(values: Mapping[str, Any], *, anchored: bool) -> tuple[str | None, int]:
    """Where the page starts (None: the list is not paged), and how many objects it has at most."""
    marker, limit = values.get("page_marker", ""), values.get("page_limit") or PAGE_LIMIT
    if "page_marker" not in values or (marker is None and "page_limit" not in values):
        return None, PAGE_LIMIT
    if values.get("page_limit") == 0 or not str(limit).isdecimal() or int(limit) == 0:
        raise BadRequest(f"Invalid page_limit {quote(values['page_limit'])}: page_limit has to be greater than zero")
    start = "" if marker in (None, "None") else str(marker)
    if anchored and start:
        try:
            UUID(start)
        except ValueError as error:
            raise BadRequest(f"Invalid page_marker {quote(start)}: {error}") from None
    return start, min(int(limit), MOST)


def read(model: ObjectModel, type: ResourceType, values: Mapping[str, Any]) -> Query:
    """BadRequest or NotFound as the contract words them. Unknown parameters and fields are ignored."""
    text = values.get("filters")
    if text and not isinstance(text, str):
        raise BadRequest(f"Invalid filter {quote(text)}")
    anchors = ("parent_id", "parent_fq_name_str", "back_ref_id", "obj_uuids", "fq_names")
    marker, limit = _page(values, anchored=any(values.get(name) for name in anchors))
    return Query(
        type,
        detail=_flag(values.get("detail")),
        count=_flag(values.get("count")),
        hrefs="exclude_hrefs" not in values or values["exclude_hrefs"] is False,
        fields=frozenset(_listed(values, "fields") or ()),
        parents=_listed(values, "parent_id"),
        parent_name=_parent_name(model, type, values),
        back_refs=_listed(values, "back_ref_id"),
        uuids=_listed(values, "obj_uuids"),
        names=_listed(values, "fq_names"),
        filter=filters.make(type, text or None),
        marker=marker,
        limit=limit,
    )
