"""Bring a database to the schema this program knows: by itself at start, quick when there is nothing to do.

Two servers may start at once: the first takes a lock, the other one waits and finds the work done.
"""

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

import api_server
from api_server.store.engine import BUSY_SECONDS, Database, UnusableDatabase

if TYPE_CHECKING:
    from alembic.config import Config

HEAD = "0012"
"""The newest migration. Stated here so that a start need not load Alembic to learn that there is nothing to do."""

LOCK = 0x7661706F72  # any number that is ours, for pg_advisory_xact_lock
NOTHING = "base"
"""The version of an empty database."""

READ_FIRST = ("0001", "0002")
"""Versions after which a migration depends on what is in the database."""

_VERSION = sa.text("select version_num from alembic_version")


def migrations() -> Path:
    """Their directory: beside the packages in a source checkout, within this one in an installation."""
    package = Path(api_server.__file__).parent
    shipped = package / "migrations"
    return shipped if shipped.is_dir() else package.parent / "alembic"


def upgrade(url: str) -> bool:
    """The database at a URL; see `migrate`."""
    return migrate(Database.at(url))


def migrate(database: Database) -> bool:
    """Whether anything had to be done. UnusableDatabase if it cannot be reached, or is newer than this program."""
    try:
        with database.engine.connect() as connection:
            if _version(connection) == HEAD:
                return False
            connection.rollback()
            connection.execution_options(isolation_level="AUTOCOMMIT")
            return _migrate(database, connection)
    except sa.exc.DBAPIError as error:
        raise database.explain(error) from error


def require(database: Database) -> None:
    """UnusableDatabase if there is none, or none of this program's version; changes nothing, and makes no file."""
    if database.sqlite and not database.path.exists():
        raise UnusableDatabase(f"There is no database {database.path}")
    version = _standing(database)
    if version != HEAD:
        found = "no schema" if version is None else f"schema version {version}"
        raise UnusableDatabase(
            f"The database has {found}, this program works with version {HEAD}: see `vaportrail db upgrade`"
        )


def script(url: str, start: str | None = None) -> str:
    """The SQL that `upgrade` would run on the database at a URL, one transaction; empty if there is nothing to do.

    start: the version to begin with (of nothing: `base`), instead of the database's own, which then is not looked at.
    UnusableDatabase if it cannot be told without running it: migration 0003 reads objects.
    """
    from alembic import command  # noqa: PLC0415

    database, config = Database.at(url), _config()
    if start is None:
        start = _standing(database) or NOTHING
    if start != NOTHING:
        _check_known(config, start)
    if start == HEAD:
        return ""
    if start in READ_FIRST:
        raise UnusableDatabase(
            f"The way from version {start} depends on the objects in the database: use `vaportrail db upgrade`"
        )
    config.output_buffer = io.StringIO()
    config.attributes["dialect"] = database.engine.dialect.name
    command.upgrade(config, f"{start}:{HEAD}", sql=True)
    return config.output_buffer.getvalue()


def _standing(database: Database) -> str | None:
    """The version of a database; None if it has none, or there is no such file."""
    if database.sqlite and not database.path.exists():
        return None
    try:
        with database.engine.connect() as connection:
            version: str | None = _version(connection)
    except sa.exc.DBAPIError as error:
        raise database.explain(error) from error
    return version


def _config() -> "Config":
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(migrations()).replace("%", "%%"))
    return config


def _check_known(config: "Config", version: str | None) -> None:
    """UnusableDatabase if it is none of this program's."""
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if version is not None and version not in known:
        raise UnusableDatabase(
            f"The database has schema version {version}, which this program does not know (it knows up to {HEAD}): "
            "it was written by a newer one; use that"
        )


def _migrate(database: Database, connection: sa.Connection) -> bool:
    """All of it in one transaction: a crash leaves the old schema, whole."""
    from alembic import command  # noqa: PLC0415 - a tenth of a second, for what is mostly not needed

    config = _config()
    config.attributes["connection"] = connection
    if database.sqlite:
        connection.exec_driver_sql("pragma journal_mode=wal")
        connection.exec_driver_sql(f"pragma busy_timeout={int(BUSY_SECONDS * 1000)}")
        connection.exec_driver_sql("begin immediate")
    else:
        connection.exec_driver_sql("begin")
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(LOCK)))
    try:
        version = _version(connection)
        _check_known(config, version)
        outdated = bool(version != HEAD)
        if outdated:
            command.upgrade(config, "head")
    except BaseException:
        connection.exec_driver_sql("rollback")
        raise
    connection.exec_driver_sql("commit")
    return outdated


def _version(connection: sa.Connection) -> Any:
    """None for a new database."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(_VERSION).scalar_one_or_none()
