"""Single elements of List and Map properties: `POST /prop-collection-update`, `GET /prop-collection-get` (contract
4.6, 4.7).

A Map is kept ordered by key. A List is kept as sent; once a client has worked on its positions, it is ordered by
position *as text*, as Contrail reads it back ("10" < "2"). Elements that came by POST or PUT have the positions "0",
"1", ...
"""

import json
import uuid as uuids
from typing import Any

from api_server.errors import BadRequest, NotFound
from api_server.resources.operations import Operations
from api_server.store.objects import Object, Update
from api_server.store.transaction import Transaction
from schema.model import Property, ResourceType
from schema.quoting import LONGEST, quote
from schema.validation import InvalidValue, validate_element

LIST_OPERATIONS = ("add", "modify", "delete")
MAP_OPERATIONS = ("set", "delete")


def elements(declared: Property, value: Any) -> list[Any]:
    """The elements in the wrapper, e.g. those of `{"key_value_pair": [...]}`."""
    found = (value or {}).get(declared.wrapper) or []
    return list(found) if isinstance(found, list) else [found]


def positions(object: Object, declared: Property, count: int) -> list[str]:
    return list(object.positions.get(declared.name) or (str(index) for index in range(count)))


def collection(kind: ResourceType, name: Any) -> Property:
    declared = kind.properties.get(name) if isinstance(name, str) else None
    if declared is None or declared.kind == "plain":
        raise BadRequest(f'{quote(name)} neither "ListProperty" nor "MapProperty"')
    return declared


def collection_get(model_type: ResourceType, object: Object, fields: list[str], position: str | None) -> dict[str, Any]:
    """Elements with their positions; of a Map, the key is the position."""
    answer: dict[str, Any] = {}
    for name in fields:
        declared = collection(model_type, name)
        values = elements(declared, object.properties.get(name))
        if declared.kind == "map":
            where = [str(value.get(declared.key)) for value in values]
        else:
            where = positions(object, declared, len(values))
        pairs = [[value, at] for value, at in zip(values, where, strict=True) if position is None or at == position]
        answer[name] = pairs
    return answer


def collection_update(operations: Operations, tx: Transaction, uuid: str, updates: list[dict[str, Any]]) -> Object:
    """All updates as one change of the object. NotFound, or BadRequest that names the update in question."""
    before = tx.get(uuid)
    if before is None:
        raise NotFound(f"Object Not Found: {uuid}")
    if not updates:
        return before
    after = before.copy()
    kind = operations.model.types[before.type]
    for update in updates:
        declared = collection(kind, update.get("field"))
        value = element(kind, declared, update)
        operation = str(update.get("operation")).lower()
        if operation not in (MAP_OPERATIONS if declared.kind == "map" else LIST_OPERATIONS):
            raise BadRequest(f"Unsupported operation {quote(operation)} in request {request(update)}")
        if operation != "delete" and value is None:
            raise BadRequest(f"{operation.title()} needs field value in request {request(update)}")
        position = update.get("position")
        if operation in ("delete", "modify") and not isinstance(position, str | int):
            raise BadRequest(f"{operation.title()} needs field position in request {request(update)}")
        if not isinstance(position, str | int | None):
            raise BadRequest(f"{operation.title()} needs text as field position in request {request(update)}")
        change = change_map if declared.kind == "map" else change_list
        change(declared, after, operation, value, None if position in (None, "") else str(position))
    operations.apply(tx, Update(before, after))
    return after


def element(kind: ResourceType, declared: Property, update: dict[str, Any]) -> Any:
    """The value of an update, validated as an element of its property; None if it has none."""
    if update.get("value") is None:
        return None
    try:
        return validate_element(kind, declared.name, update["value"], "prop-collection-update")
    except InvalidValue as error:
        raise BadRequest(error.reason) from None


def change_map(declared: Property, after: Object, operation: str, value: Any, position: str | None) -> None:
    """The key is a member of the value; `position` names it only for a delete."""
    assert declared.key
    by_key = {str(held.get(declared.key)): held for held in elements(declared, after.properties.get(declared.name))}
    if operation == "set":
        by_key[str(value.get(declared.key))] = value
    else:
        by_key.pop(position or "", None)
    put(after, declared, [by_key[key] for key in sorted(by_key)])


def change_list(declared: Property, after: Object, operation: str, value: Any, position: str | None) -> None:
    values = elements(declared, after.properties.get(declared.name))
    at = dict(zip(positions(after, declared, len(values)), values, strict=True))
    if operation == "delete":
        at.pop(position or "", None)
    else:
        at[position or str(uuids.uuid4())] = value
    order = sorted(at)
    put(after, declared, [at[key] for key in order])
    after.positions[declared.name] = order


def put(after: Object, declared: Property, values: list[Any]) -> None:
    """A property without elements is one that is not set."""
    if values:
        after.properties[declared.name] = {declared.wrapper: values}
    else:
        after.properties.pop(declared.name, None)


def request(update: Any) -> str:
    """A part of a request as the client wrote it, for an error text."""
    return json.dumps(update)[:LONGEST]
