"""`filters=key==value,key==value` of lists (contract 3.3).

One key several times means any of its values, several keys mean all of them. A value is JSON, or bare text;
comparison is strict about types. An object-valued property is compared with a JSON *string* that holds a JSON
object: all its members must be equal. Keys that the type does not have match nothing, unless there are no others:
then the filter has no effect.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from api_server.errors import BadRequest
from schema.model import ResourceType

MOST = 256
"""Comparisons of one filter: each object of the list is held against all of them."""

_decoder = json.JSONDecoder()  # orjson cannot say where a value ends


def parse(text: str) -> dict[str, list[Any]]:
    """BadRequest on a single `=`, a second `==`, a literal object or list, a missing value, a comma at the end, and on
    more comparisons than `MOST`."""
    wanted: dict[str, list[Any]] = {}
    rest, more, count = text, ",", 0
    while more:
        if (count := count + 1) > MOST:
            raise BadRequest(f"Invalid filter: filters has more than {MOST} comparisons, which is the limit")
        key, separator, rest = rest.partition("==")
        if not separator or not key or "=" in key or "," in key or not rest:
            raise BadRequest(f"Invalid filter {text}")
        if rest.startswith('"'):
            try:
                value, end = _decoder.raw_decode(rest)
            except json.JSONDecodeError:
                raise BadRequest(f"Invalid filter {text}") from None
            after, more, rest = rest[end:].partition(",")
            if after:
                raise BadRequest(f"Invalid filter {text}")
        else:
            bare, more, rest = rest.partition(",")
            value = _bare(bare, text)
        wanted.setdefault(key, []).append(value)
    return wanted


def _bare(bare: str, text: str) -> Any:
    if not bare or bare[0] in "{[=" or "==" in bare:
        raise BadRequest(f"Invalid filter {text}")
    try:
        return orjson.loads(bare)
    except orjson.JSONDecodeError:
        return bare


@dataclass(frozen=True, slots=True)
class Filter:
    """What an object's properties must be. nothing: no object can match."""

    wanted: Mapping[str, list[Any]]
    nothing: bool = False

    def matches(self, properties: Mapping[str, Any]) -> bool:
        return not self.nothing and all(
            key in properties and any(_equal(properties[key], value) for value in values)
            for key, values in self.wanted.items()
        )


def make(type: ResourceType, text: str | None) -> Filter | None:
    """None: everything matches."""
    wanted = parse(text) if text else {}
    known = {key: values for key, values in wanted.items() if key in type.properties}
    return Filter(known, nothing=len(known) < len(wanted)) if known else None


def _equal(stored: Any, value: Any) -> bool:
    if isinstance(stored, dict):
        try:
            members = orjson.loads(value) if isinstance(value, str) else None
        except orjson.JSONDecodeError:
            return False
        if not isinstance(members, dict):
            return False
        return all(name in stored and _same(stored[name], member) for name, member in members.items())
    return _same(stored, value)


def _same(stored: Any, value: Any) -> bool:
    return type(stored) is type(value) and bool(stored == value)
