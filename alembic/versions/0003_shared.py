"""What objects are found by that were shared before lists could ask for shared ones."""

import json
from contextlib import suppress
from uuid import UUID

import sqlalchemy as sa

from alembic import context, op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

resource = sa.table("resource", sa.column("uuid"), sa.column("type"), sa.column("properties"))
search_key = sa.table("search_key", sa.column("key"), sa.column("uuid"))


def scopes(perms2: dict) -> set[str]:
    found = {"global"} if perms2.get("global_access") else set()
    for entry in perms2.get("share") or ():
        tenant = str(entry.get("tenant") or "")
        if not tenant or len(tenant) > 128:
            continue
        kind, colon, identity = tenant.partition(":")
        if not colon:
            kind, identity = "tenant", tenant
        with suppress(ValueError):
            identity = str(UUID(identity))
        found.add(f"{kind}:{identity}")
    return found


def upgrade() -> None:
    if context.is_offline_mode():  # for an empty database only (`migration.script`)
        return
    connection = op.get_bind()
    shared = sa.select(resource).where(
        resource.c.properties.like('%"tenant":%') | resource.c.properties.not_like('%"global_access":0%')
    )
    standing = connection.execute(sa.select(search_key).where(search_key.c.key.like("shared:%"))).all()
    wanted = {
        (f"shared:{kind}:{scope}", uuid)
        for uuid, kind, text in connection.execute(shared).all()
        for scope in scopes(json.loads(text).get("perms2") or {})
    }
    missing = wanted.difference((key, uuid) for key, uuid in standing)
    if missing:
        connection.execute(search_key.insert(), [{"key": key, "uuid": uuid} for key, uuid in missing])


def downgrade() -> None:
    raise NotImplementedError("a database goes forward only; restore a backup")
