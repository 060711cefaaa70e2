"""What objects concern, and the log by scope; of what there is already, too."""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

FILL = (  # in the order of what reads what
    """
    insert into concern (uuid, scope, type) select found.*, 'virtual-network' from (
    select uuid, uuid from resource where type = 'virtual-network'
    union
    select from_uuid, to_uuid from reference where from_type = 'virtual-network' and to_type = 'network-policy'
    union
    select parent_uuid, uuid from resource where type = 'floating-ip-pool' and parent_type = 'virtual-network'
    ) as found
    """,
    """
    insert into concern (uuid, scope, type) select found.*, 'network-policy' from (
    select uuid, uuid from resource where type = 'network-policy'
    ) as found
    """,
    """
    insert into concern (uuid, scope, type) select found.*, 'network-ipam' from (
    select uuid, uuid from resource where type = 'network-ipam'
    ) as found
    """,
    """
    insert into concern (uuid, scope, type) select found.*, 'floating-ip-pool' from (
    select uuid, uuid from resource where type = 'floating-ip-pool'
    ) as found
    """,
    """
    insert into concern (uuid, scope, type) select found.*, 'virtual-machine-interface' from (
    select from_uuid, to_uuid from reference
    where from_type = 'virtual-machine-interface' and to_type = 'virtual-network'
    union
    select f.from_uuid, 'node:' || substr(r.fq_name, length(rtrim(r.fq_name, replace(r.fq_name, ':', ''))) + 1)
    from reference f join reference g on g.to_uuid = f.to_uuid join resource r on r.uuid = g.from_uuid
    where f.from_type = 'virtual-machine-interface' and f.to_type = 'virtual-machine' and g.from_type = 'virtual-router'
    union
    select i.uuid, 'node:' || substr(r.fq_name, length(rtrim(r.fq_name, replace(r.fq_name, ':', ''))) + 1)
    from resource i join reference g on g.to_uuid = i.parent_uuid join resource r on r.uuid = g.from_uuid
    where i.type = 'virtual-machine-interface' and i.parent_type = 'virtual-machine' and g.from_type = 'virtual-router'
    union
    select f.to_uuid, n.to_uuid
    from reference f join resource o on o.uuid = f.from_uuid join reference n on n.from_uuid = o.parent_uuid
    where f.from_type = 'floating-ip' and f.to_type = 'virtual-machine-interface' and n.to_type = 'virtual-network'
    union
    select f.to_uuid, p.parent_uuid
    from reference f join resource o on o.uuid = f.from_uuid join resource p on p.uuid = o.parent_uuid
    where f.from_type = 'floating-ip' and f.to_type = 'virtual-machine-interface' and p.type = 'floating-ip-pool'
    ) as found
    """,
    """
    insert into concern (uuid, scope, type) select found.*, 'floating-ip' from (
    select o.uuid, n.to_uuid from resource o join reference n on n.from_uuid = o.parent_uuid
    where o.type = 'floating-ip' and n.to_type = 'virtual-network'
    union
    select o.uuid, p.parent_uuid from resource o join resource p on p.uuid = o.parent_uuid
    where o.type = 'floating-ip' and p.type = 'floating-ip-pool'
    union
    select f.from_uuid, n.to_uuid from reference f join reference n on n.from_uuid = f.to_uuid
    where f.from_type = 'floating-ip' and f.to_type = 'virtual-machine-interface' and n.to_type = 'virtual-network'
    ) as found
    """,
    """
    insert into concern (uuid, scope, type) select found.*, 'instance-ip' from (
    select from_uuid, to_uuid from reference where from_type = 'instance-ip' and to_type = 'virtual-network'
    union
    select f.from_uuid, c.scope from reference f join concern c on c.uuid = f.to_uuid
    where f.from_type = 'instance-ip' and f.to_type = 'virtual-machine-interface'
    union
    select o.parent_uuid, n.to_uuid
    from resource o join reference f on f.from_uuid = o.uuid join reference n on n.from_uuid = f.to_uuid
    where o.type = 'floating-ip' and o.parent_type = 'instance-ip'
    and f.to_type = 'virtual-machine-interface' and n.to_type = 'virtual-network'
    ) as found
    """,
    """
    insert into concern (uuid, scope, type) select found.*, 'virtual-machine' from (
    select f.to_uuid, c.scope from reference f join concern c on c.uuid = f.from_uuid
    where f.from_type = 'virtual-machine-interface' and f.to_type = 'virtual-machine'
    union
    select i.parent_uuid, c.scope from resource i join concern c on c.uuid = i.uuid
    where i.type = 'virtual-machine-interface' and i.parent_type = 'virtual-machine'
    union
    select f.to_uuid, 'node:' || substr(r.fq_name, length(rtrim(r.fq_name, replace(r.fq_name, ':', ''))) + 1)
    from reference f join resource r on r.uuid = f.from_uuid
    where f.from_type = 'virtual-router' and f.to_type = 'virtual-machine'
    ) as found
    """,
    """
    insert into concern (uuid, scope, type) select found.*, 'virtual-router' from (
    select r.uuid, 'node:' || substr(r.fq_name, length(rtrim(r.fq_name, replace(r.fq_name, ':', ''))) + 1)
    from resource r where r.type = 'virtual-router'
    union
    select f.from_uuid, c.scope from reference f join concern c on c.uuid = f.to_uuid
    where f.from_type = 'virtual-router' and f.to_type = 'virtual-machine'
    ) as found
    """,
    """
    insert into concern (uuid, scope, type) select found.*, 'loadbalancer' from (
    select distinct f.from_uuid, n.to_uuid from reference f join reference n on n.from_uuid = f.to_uuid
    where f.from_type = 'loadbalancer' and f.to_type = 'virtual-machine-interface' and n.to_type = 'virtual-network'
    ) as found
    """,
    """
    insert into concern (uuid, scope, type) select found.*, 'loadbalancer-listener' from (
    select distinct f.from_uuid, c.scope from reference f join concern c on c.uuid = f.to_uuid
    where f.from_type = 'loadbalancer-listener' and f.to_type = 'loadbalancer'
    ) as found
    """,
    """
    insert into concern (uuid, scope, type) select found.*, 'loadbalancer-pool' from (
    select distinct f.from_uuid, c.scope from reference f join concern c on c.uuid = f.to_uuid
    where f.from_type = 'loadbalancer-pool' and f.to_type = 'loadbalancer-listener'
    ) as found
    """,
    """
    insert into concern (uuid, scope, type) select found.*, 'loadbalancer-member' from (
    select distinct r.uuid, c.scope from resource r join concern c on c.uuid = r.parent_uuid
    where r.type = 'loadbalancer-member'
    ) as found
    """,
    """
    insert into concern (uuid, scope, type) select found.*, 'loadbalancer-healthmonitor' from (
    select distinct f.to_uuid, c.scope from reference f join concern c on c.uuid = f.from_uuid
    where f.from_type = 'loadbalancer-pool' and f.to_type = 'loadbalancer-healthmonitor'
    ) as found
    """,
)


def upgrade() -> None:
    op.create_table(
        "concern",
        sa.Column(
            "uuid", TEXT, sa.ForeignKey("resource.uuid", name="concern_of", ondelete="CASCADE"), primary_key=True
        ),
        sa.Column("scope", TEXT, primary_key=True),
        sa.Column("type", TEXT, nullable=False),
        sa.Index("concern_scope", "scope", "type", "uuid"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "scope_change",
        sa.Column("scope", TEXT, primary_key=True),
        sa.Column("revision", BIG, primary_key=True, autoincrement=False),
        sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("operation", TEXT, nullable=False),
        sa.Column("type", TEXT, nullable=False),
        sa.Column("uuid", TEXT, nullable=False),
        sa.Column("object", TEXT),
        sa.Index("scope_change_revision", "revision"),
        sqlite_with_rowid=False,
    )
    for statement in FILL:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("a database goes forward only; restore a backup")
