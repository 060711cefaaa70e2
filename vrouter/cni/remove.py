"""DEL: what ADD has plugged goes. What is gone already is no error: a runtime calls it until it succeeds."""

from vrouter.cni.answer import NO_CONTAINER, CniError
from vrouter.cni.client import Client
from vrouter.cni.container import Container
from vrouter.cni.request import Attachment


def remove(attachment: Attachment) -> None:
    """The agent first: what it gives back is the other end of what is removed then. CniError: call again."""
    Client(attachment).remove()
    if not attachment.network:
        return
    try:
        container = Container(attachment.network)
    except CniError as error:
        if error.code == NO_CONTAINER:
            return
        raise
    with container:
        for name in _names(attachment):
            container.remove(name)


def _names(attachment: Attachment) -> list[str]:
    """Of the interfaces that ADD made in the container."""
    previous = attachment.configuration.previous or {}
    listed = previous.get("interfaces")
    rows = [row for row in listed if isinstance(row, dict)] if isinstance(listed, list) else []
    there = [row["name"] for row in rows if row.get("sandbox") and isinstance(row.get("name"), str)]
    return list(dict.fromkeys([attachment.interface, *there]))
