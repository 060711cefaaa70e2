"""`<type>/<name>`: how an object is written on a command line. Pure."""

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import schema
from cli.output import Misuse
from schema.model import ResourceType


@dataclass(frozen=True, slots=True)
class Path:
    """name: None for the type itself."""

    type: ResourceType
    name: str | None


def parse(text: str) -> Path:
    """A path, or what points to an object as well: `/<type>/<uuid>` or an href. Misuse if there is no such type."""
    local = re.sub(r"^https?://[^/]*", "", text).lstrip("/")
    name, _, rest = local.partition("/")
    return Path(resource_type(name), rest or None)


def parse_object(text: str) -> tuple[ResourceType, str]:
    """A path that must name an object."""
    path = parse(text)
    if path.name is None:
        raise Misuse(f"{path.type.name} is a type; an object of it is {path.type.name}/NAME")
    return path.type, path.name


def resource_type(name: str) -> ResourceType:
    model = schema.load()
    found = model.find(name)
    if found is None:
        raise Misuse(f"there is no type called {name!r}{hint(name, model.types)}; `vaportrail ls` lists them")
    return found


def hint(name: str, known: Iterable[str]) -> str:
    """`, did you mean 'x'?`, or nothing."""
    close = difflib.get_close_matches(name, list(known), 1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def show(type: str, fq_name: Sequence[str]) -> str:
    """The path that means this object to any server."""
    return f"{type}/{':'.join(fq_name)}"


def fq_name(type: ResourceType, name: str) -> list[str]:
    """The elements of a name that is written in full. A route-target's is one, colons and all (contract 5.11)."""
    return [name] if type.name == "route-target" else name.split(":")


def is_uuid(text: str) -> bool:
    return re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", text) is not None


def matches(name: str, fq_name: Sequence[str]) -> bool:
    """Whether a name may mean the object of this fq_name: all of it, or its last elements."""
    return f":{':'.join(fq_name)}".endswith(f":{name}")
