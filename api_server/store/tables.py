"""The tables. Generic, because the object model is data: a new resource type needs no migration.

Columns are text and integer only, so that both databases hold the same values and rows can be taken from the driver
as they are. Text sorts by code point (COLLATE "C" on PostgreSQL), as SQLite does anyway. Referential integrity is
here: a parent and the target of a reference cannot be deleted while they are used.
"""

import sqlalchemy as sa

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

metadata = sa.MetaData()

resource = sa.Table(
    "resource",
    metadata,
    sa.Column("uuid", TEXT, primary_key=True),
    sa.Column("type", TEXT, nullable=False),
    sa.Column("fq_name", TEXT, nullable=False),  # joined by colons
    sa.Column("parent_uuid", TEXT, sa.ForeignKey("resource.uuid", name="resource_parent", ondelete="RESTRICT")),
    sa.Column("parent_type", TEXT),
    sa.Column("properties", TEXT, nullable=False),  # JSON object
    sa.Column("positions", TEXT),  # JSON object: property -> positions of its elements; NULL: all as written
    sa.Column("revision", BIG, nullable=False),
    sa.Column("created", TEXT, nullable=False),
    sa.Column("modified", TEXT, nullable=False),
    sa.Column("owner", TEXT),
    sa.UniqueConstraint("type", "fq_name", name="resource_name"),
    sa.Index("resource_children", "parent_uuid", "type"),
)

place = resource.c.fq_name + sa.literal_column("':'") + resource.c.uuid
"""Where an object stands in a list of its type, ..."""

listed = resource.c.type + sa.literal_column("''")
"""... and the type, spelt so that nothing but such a list is looked up by it: while there are few objects, PostgreSQL
takes an index of the type alone for as good as one of the type and more."""

sa.Index("resource_place", listed, place)

# A same-type reference stands on both sides, as two rows (contract 2.6).
reference = sa.Table(
    "reference",
    metadata,
    sa.Column("from_uuid", TEXT, sa.ForeignKey("resource.uuid", name="reference_from", ondelete="CASCADE"),
              primary_key=True),
    sa.Column("to_uuid", TEXT, sa.ForeignKey("resource.uuid", name="reference_to", ondelete="RESTRICT"),
              primary_key=True),
    sa.Column("from_type", TEXT, nullable=False),
    sa.Column("to_type", TEXT, nullable=False),
    sa.Column("attr", TEXT),  # JSON
    sa.Column("origin", sa.Integer, nullable=False),  # objects.Origin
    sa.Index("reference_back", "to_uuid", "from_type"),
    sqlite_with_rowid=False,
)  # fmt: skip

# References that do not block the delete of their target, asked for before they were there (contract 4.5). One that is
# there says so itself, by its origin.
relaxation = sa.Table(
    "relaxation",
    metadata,
    sa.Column("to_uuid", TEXT, sa.ForeignKey("resource.uuid", name="relaxation_to", ondelete="CASCADE"),
              primary_key=True),
    sa.Column("from_uuid", TEXT, sa.ForeignKey("resource.uuid", name="relaxation_from", ondelete="CASCADE"),
              primary_key=True),
    sa.Index("relaxation_from_uuid", "from_uuid"),
    sqlite_with_rowid=False,
)  # fmt: skip

# object: the object after the write, before it for a delete (JSON, as in a watch event). fields: what an update
# changed, joined by commas. implicit: 1 for an update that is only the other side of a same-type reference.
change = sa.Table(
    "change",
    metadata,
    sa.Column("revision", BIG, primary_key=True, autoincrement=False),
    sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("operation", TEXT, nullable=False),  # create, update, delete
    sa.Column("type", TEXT, nullable=False),
    sa.Column("uuid", TEXT, nullable=False),
    sa.Column("fq_name", TEXT, nullable=False),
    sa.Column("object", TEXT, nullable=False),
    sa.Column("fields", TEXT),
    sa.Column("request_id", TEXT, nullable=False),
    sa.Column("user", TEXT, nullable=False),
    sa.Column("at", TEXT, nullable=False),
    sa.Column("implicit", sa.Integer, nullable=False, server_default="0"),
    sa.Index("change_of_object", "uuid", "revision", "sequence"),
)

# What an object concerns (scopes.py).
concern = sa.Table(
    "concern",
    metadata,
    sa.Column("uuid", TEXT, sa.ForeignKey("resource.uuid", name="concern_of", ondelete="CASCADE"), primary_key=True),
    sa.Column("scope", TEXT, primary_key=True),
    sa.Column("type", TEXT, nullable=False),
    sa.Index("concern_scope", "scope", "type", "uuid"),
    sqlite_with_rowid=False,
)

# The log as those see it who watch a scope (concerns.py). object: NULL if `change` has it, under the same numbers. It
# has row ids on SQLite, so that the rows of a change lie together at its end, and only its key by scope.
scope_change = sa.Table(
    "scope_change",
    metadata,
    sa.Column("scope", TEXT, primary_key=True),
    sa.Column("revision", BIG, primary_key=True, autoincrement=False),
    sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("operation", TEXT, nullable=False),
    sa.Column("type", TEXT, nullable=False),
    sa.Column("uuid", TEXT, nullable=False),
    sa.Column("object", TEXT),
)

revision_of_all = scope_change.c.revision + sa.literal_column("0", BIG)
"""The revision, spelt so that only what is wanted of all scopes is looked up by it: where some have much of the log,
PostgreSQL would look for the others' rows among those of all."""

sa.Index("scope_change_by_revision", revision_of_all)

# One row. revision: the last one given. compacted: changes up to it are no longer in the log. statuses: the last stamp
# given (status.stamp).
counter = sa.Table(
    "counter",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("revision", BIG, nullable=False),
    sa.Column("compacted", BIG, nullable=False),
    sa.Column("statuses", BIG, nullable=False, server_default="0"),
)

# The last transaction that each writer has committed (attempts.py). at: seconds since 1970 by the database's clock.
writer = sa.Table(
    "writer",
    metadata,
    sa.Column("name", TEXT, primary_key=True),
    sa.Column("attempt", BIG, nullable=False),
    sa.Column("at", BIG, nullable=False),
)

# Work that one process does at a time (leases.py). expires: milliseconds since 1970 by the database's clock.
# cursor: the last revision it is done for.
lease = sa.Table(
    "lease",
    metadata,
    sa.Column("name", TEXT, primary_key=True),
    sa.Column("owner", TEXT, nullable=False),
    sa.Column("term", BIG, nullable=False),
    sa.Column("expires", BIG, nullable=False),
    sa.Column("cursor", BIG, nullable=False),
)

# Numbers are 32 hexadecimal digits (docs/design/pools.md).
allocation = sa.Table(
    "allocation",
    metadata,
    sa.Column("pool", TEXT, primary_key=True),
    sa.Column("number", TEXT, primary_key=True),
    sa.Column("holder", TEXT, nullable=False),
    sa.Index("allocation_holder", "holder"),
    sqlite_with_rowid=False,
)

free_range = sa.Table(
    "free_range",
    metadata,
    sa.Column("pool", TEXT, primary_key=True),
    sa.Column("first", TEXT, primary_key=True),
    sa.Column("last", TEXT, nullable=False),
    sqlite_with_rowid=False,
)

# What an object can be found by beside its name; declared by its hooks.
search_key = sa.Table(
    "search_key",
    metadata,
    sa.Column("key", TEXT, primary_key=True),
    sa.Column("uuid", TEXT, sa.ForeignKey("resource.uuid", name="search_key_of", ondelete="CASCADE"),
              primary_key=True),
    sa.Index("search_key_uuid", "uuid"),
    sqlite_with_rowid=False,
)  # fmt: skip

# Who reports (nodes.py). revision: that the node had applied at its last report. reached: when it was reported first.
# reported: when that last report was; both in milliseconds since 1970, 0 for a node that is to be forgotten. stale: 1
# when it has been silent too long for its rows to be believed, 2 when they are gone. agent: JSON, what the agent says
# of itself. scopes: JSON, the list of what it watches, null for everything.
node = sa.Table(
    "node",
    metadata,
    sa.Column("name", TEXT, primary_key=True),
    sa.Column("revision", BIG, nullable=False),
    sa.Column("reported", BIG, nullable=False),
    sa.Column("stale", sa.Integer, nullable=False),
    sa.Column("reached", BIG, nullable=False, server_default="0"),
    sa.Column("agent", TEXT, nullable=False, server_default="{}"),
    sa.Column("scopes", TEXT, nullable=False, server_default="null"),
)

# What a node says of an object (statuses.py): no part of the object, so without a revision of its own. revision: what
# the node had applied. since: milliseconds since 1970. stamp: grows with every change of a row, for who follows them.
# state: empty for a row that is gone, until it is swept.
status = sa.Table(
    "status",
    metadata,
    sa.Column("uuid", TEXT, sa.ForeignKey("resource.uuid", name="status_of", ondelete="CASCADE"),
              primary_key=True),
    sa.Column("node", TEXT, sa.ForeignKey("node.name", name="status_node", ondelete="CASCADE"),
              primary_key=True),
    sa.Column("state", TEXT, nullable=False),
    sa.Column("provisioning", TEXT, nullable=False),
    sa.Column("reason", TEXT, nullable=False),
    sa.Column("since", BIG, nullable=False),
    sa.Column("revision", BIG, nullable=False),
    sa.Column("stamp", BIG, nullable=False),
    sa.Index("status_by_node", "node"),
    sa.Index("status_by_stamp", "stamp"),
    sqlite_with_rowid=False,
)  # fmt: skip

key_value = sa.Table(
    "key_value",
    metadata,
    sa.Column("key", TEXT, primary_key=True),
    sa.Column("value", TEXT, nullable=False),
)
