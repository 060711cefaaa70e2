"""Drafts of firewall objects, which are not built: a change takes effect at once (contract 4.19, 5.8).

In Contrail a project can have changes of its firewall objects wait until somebody commits or discards them. Here what
would switch that on is refused, so that nobody takes a change that is in force for one that waits.
"""

from typing import Any

from api_server.errors import BadRequest, NotFound, NotImplementedHere
from api_server.store.objects import Object
from api_server.store.reader import Reader
from schema.quoting import quote, title

DRAFT_POLICIES = "draft-policy-management"
"""Holds the changes that wait, below the scope they are of."""

REASON = "drafts of firewall objects are not built; a change takes effect at once"


def refuse_drafts(scope: Object) -> None:
    """Of a project or the whole system that is about to be stored."""
    if scope.properties.get("enable_security_policy_draft"):
        raise NotImplementedHere(f"enable_security_policy_draft can only be false: {REASON}")


def read_draft(document: dict[str, Any]) -> tuple[str, str]:
    """(uuid of the scope, action)."""
    for name in ("scope_uuid", "action"):
        if not isinstance(document.get(name), str):
            raise BadRequest(f"Bad Request, {name} must be text: {quote(document.get(name))}")
    return document["scope_uuid"], document["action"]


def check_draft(reader: Reader, scope: str, action: str) -> None:
    """What Contrail asks before it commits or discards; where no drafts are kept, it says so (400)."""
    found = reader.identify(scope)
    if found is None:
        raise NotFound(f"Cannot find scope where pending security resource are own: Unknown id: {quote(scope)}")
    kind, fq_name = found
    above = () if kind == "global-system-config" else fq_name
    if reader.find("policy-management", (*above, DRAFT_POLICIES)) is None:
        raise BadRequest(f"Security draft mode is not enabled on the {title(kind)} {list(fq_name)} ({scope})")
    if action not in ("commit", "discard"):
        raise BadRequest("Only 'commit' or 'discard' actions are supported")
