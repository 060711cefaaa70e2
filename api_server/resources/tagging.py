"""Tags on an object: one of each tag type, but for the types of which it may have several (contract 2.6).

A tag's type is the part of its name before the `=`.
"""

from api_server.errors import BadRequest
from api_server.store.objects import Object
from schema.quoting import quote

SEVERAL = frozenset({"label", "neutron_fwaas", "neutron_tag"})


def check_tags(object: Object) -> None:
    """BadRequest names the type of which there are two."""
    seen = set()
    for tag in object.references.get("tag_refs", ()):
        tag_type = tag.fq_name[-1].partition("=")[0]
        if tag_type in seen:
            raise BadRequest(
                f"Tag type '{quote(tag_type)}' cannot be set multiple times on the same {object.type} resource type"
            )
        if tag_type not in SEVERAL:
            seen.add(tag_type)
