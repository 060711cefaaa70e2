"""`vaportrail edit`: an object in one's own editor. Only what was changed is sent, and only if nobody else has changed
the object meanwhile; a text that was refused is kept in a file."""

import os
import shlex
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from api_client import ApiClient, ApiError, PreconditionFailed, etag
from cli import notation
from cli.objects import documents, lookup
from cli.objects.printing import arranged
from cli.output import Failure, Misuse

ALWAYS = {"id_perms", "perms2"}  # no object is without them

NOTICE = """\
# {path}
# What you change here is sent when you leave the editor; a field that you delete is removed. Nothing changed: nothing
# is sent. Fields that are not here cannot be changed.
"""


@dataclass(frozen=True, slots=True)
class Draft:
    """found: the object. fields: those that can be changed, as read. version: its ETag then."""

    found: lookup.Found
    fields: Mapping[str, Any]
    version: str

    @property
    def text(self) -> str:
        return NOTICE.format(path=self.found.path) + notation.dump(dict(self.fields))


async def read(client: ApiClient, path: str) -> Draft:
    found = await lookup.find(client, path)
    stored = await client.read(found.type.name, found.uuid, bare=True)
    changeable = (*found.type.properties, *found.type.references)
    fields = {name: value for name, value in arranged(found.type, stored).items() if name in changeable}
    fields["id_perms"] = {name: stored["id_perms"].get(name) for name in ("enable", "description")}
    return Draft(found, fields, etag(stored))


def editor() -> list[str]:
    """The words of $VISUAL or $EDITOR; `vi` if neither is set."""
    words = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi")
    if not words:
        raise Misuse("neither VISUAL nor EDITOR names an editor")
    return words


def edit(draft: Draft) -> tuple[Path, str]:
    """Runs the editor; the file and what it holds afterwards. The file is the caller's to remove."""
    handle, name = tempfile.mkstemp(prefix="vaportrail-", suffix=".yaml", text=True)
    with os.fdopen(handle, "w") as stream:
        stream.write(draft.text)
    path = Path(name)
    words = editor()
    try:
        status = subprocess.run([*words, name], check=False).returncode
    except OSError as error:
        path.unlink()
        raise Misuse(f"cannot run the editor {words[0]!r}: {error.strerror}; set VISUAL or EDITOR") from None
    if status:
        path.unlink()
        raise Failure(f"the editor ended with status {status}; nothing was sent")
    return path, documents.read_text(name)


def changes(draft: Draft, text: str) -> dict[str, Any]:
    """The fields that differ; None for those that are gone."""
    found = notation.load(text, "your text")
    if len(found) != 1 or not isinstance(found[0], dict):
        raise Failure("your text is no longer one object")
    after = found[0]
    for name in after:
        if name not in draft.found.type.properties and name not in draft.found.type.references:
            raise Failure(f"{draft.found.type.name} has no property or reference {name!r}")
    gone = dict.fromkeys(draft.fields.keys() - after.keys() - ALWAYS)
    wanted = {name: value for name, value in after.items() if value != draft.fields.get(name)}
    declared = documents.declare(draft.found.type, {"fq_name": list(draft.found.fq_name)} | wanted, "your text")
    return dict(declared.fields) | gone


async def send(client: ApiClient, draft: Draft, changed: Mapping[str, Any]) -> None:
    """Failure says why not."""
    found = draft.found
    try:
        await client.update(found.type.name, found.uuid, changed, etag=draft.version)
    except PreconditionFailed:
        raise Failure(f"somebody changed {found.path} while you edited it; nothing was sent") from None
    except ApiError as error:
        raise Failure(error.text) from None
