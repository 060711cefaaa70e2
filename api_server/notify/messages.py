"""A change as Contrail's API server announces it (contract 6.1)."""

from typing import NamedTuple

import orjson

from api_server.store import Entry, split

EXCHANGE = "vnc_config.object-update"
"""A fanout that does not outlive its broker; each daemon binds a queue of its own to it."""

IMPLICIT = "UPDATE-IMPLICIT"  # of the other side of a same-type reference; Contrail's daemons ignore it


class Message(NamedTuple):
    """id: revision and sequence of the change, the same each time it is sent. body: JSON."""

    id: str
    body: bytes


def message(entry: Entry) -> Message:
    """The object goes with a create and a delete only: who hears of an update reads it."""
    head = {
        "request-id": entry.request_id,
        "oper": IMPLICIT if entry.implicit else entry.operation.upper(),
        "type": entry.type.replace("-", "_"),
        "uuid": entry.uuid,
        "fq_name": split(entry.type, entry.fq_name),
    }
    body = orjson.dumps(head)
    if entry.operation != "update":
        body = b'%b,"obj_dict":%b}' % (body[:-1], entry.object.encode())
    return Message(f"{entry.revision}.{entry.sequence}", body)
