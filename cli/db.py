"""`vaportrail db`: care for the database."""

from typing import Annotated

import typer

from cli.output import fail
from cli.serve import load_settings

db_app = typer.Typer(no_args_is_help=True)


@db_app.callback()
def db() -> None:
    """Care for the database."""


@db_app.command()
def upgrade(
    database: Annotated[str | None, typer.Option(metavar="URL", help="As for `vaportrail serve`.")] = None,
) -> None:
    """Bring the database to this program's version. `vaportrail serve` does so by itself at start."""
    settings = load_settings({} if database is None else {"database": database})

    from api_server.store import UnusableDatabase
    from api_server.store import upgrade as bring_up_to_date

    try:
        bring_up_to_date(settings.database)
    except UnusableDatabase as error:
        fail(str(error))
    typer.echo("vaportrail: the database is up to date")
