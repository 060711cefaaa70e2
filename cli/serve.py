"""`vaportrail serve`: the API server."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cli import log
from cli.loading import lasting
from cli.output import fail


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1")] = None,
    port: Annotated[int | None, typer.Option(help="TCP port; 0 takes a free one.", show_default="8082")] = None,
    database: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="sqlite:///FILE or postgresql://USER@HOST/NAME; made and migrated at start.",
            show_default="sqlite:///~/.local/state/vaportrail/vaportrail.db",
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes that serve; more than one needs PostgreSQL.", show_default="1")
    ] = None,
    native_driver: Annotated[
        bool | None,
        typer.Option(
            "--native-driver/--no-native-driver",
            help="Link load balancers to their back-ends here; off for those who run their own svc-monitor.",
            show_default="on",
        ),
    ] = None,
    no_auth: Annotated[
        bool | None,
        typer.Option("--no-auth", help="Serve beyond the loopback although nobody has to say who they are."),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="One more name of this server in the Host header; * for any."),
    ] = None,
    max_request_size: Annotated[
        int | None, typer.Option(help="Bytes of one request body.", show_default="1024000")
    ] = None,
    max_wait: Annotated[
        float | None, typer.Option(help="Seconds that a request waits for its turn.", show_default="0.5")
    ] = None,
    client_timeout: Annotated[
        float | None,
        typer.Option(help="Seconds for a client to send a request, or to take in any of an answer.", show_default="30"),
    ] = None,
    max_connections: Annotated[int | None, typer.Option(help="Connections at a time.", show_default="4096")] = None,
    max_watchers: Annotated[int | None, typer.Option(help="Concurrent GET /watch.", show_default="1000")] = None,
    watch_keepalive: Annotated[
        float | None, typer.Option(help="Seconds of silence before a watcher is sent a comment.", show_default="60")
    ] = None,
    keep_changes: Annotated[
        int | None, typer.Option(help="Revisions that the change log keeps.", show_default="100000")
    ] = None,
    keep_hours: Annotated[
        float | None, typer.Option(help="Age in hours after which it forgets them.", show_default="72")
    ] = None,
    quota: Annotated[
        str | None,
        typer.Option(
            metavar="JSON",
            help="What a project may hold if its own quota does not say, by type.",
            show_default="{}, no limits",
        ),
    ] = None,
    notify: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="amqp://USER:PASSWORD@HOST:PORT/VHOST (or amqps): publish every change there, as Contrail does; "
            "several brokers, separated by commas, are tried in turn.",
            show_default="nowhere",
        ),
    ] = None,
    log_format: log.FormatOption = log.LogFormat.text,
    log_level: log.LevelOption = log.LogLevel.info,
) -> None:
    """Run the API server, until Ctrl-C or SIGTERM. Each flag is also VAPORTRAIL_<FLAG> in the environment."""
    given = {name: value for name, value in locals().items() if value is not None}
    with lasting():
        form, level = given.pop("log_format"), given.pop("log_level")
        settings = load_settings(given)
        log.configure(form, level)

        import structlog

        from api_server.app import create_app
        from api_server.routes.sites import is_loopback
        from api_server.server import Server, listen
        from api_server.store import UnusableDatabase
        from api_server.workers import Supervisor, WorkerFailed

    try:
        listener = listen(settings.host, settings.port, settings.client_timeout)
    except OSError as error:
        fail(f"cannot listen on {settings.host} port {settings.port}: {error.strerror}")
    beyond = not is_loopback(listener.getsockname()[0])
    if beyond and not settings.no_auth:
        listener.close()
        fail(
            f"{settings.host} is reached from other machines, and there is no authentication: whoever reaches it may "
            "change everything. Say --no-auth if that is meant, or listen on 127.0.0.1"
        )
    if beyond:
        structlog.get_logger().warning(
            "no authentication", address=settings.host, meaning="whoever reaches this address may change everything"
        )

    def ready(url: str) -> None:
        announce(url, settings.database)

    app = create_app(settings)
    program = (
        Server(app, listener, ready) if settings.workers == 1 else Supervisor(app, listener, settings.workers, ready)
    )
    try:
        program.run()
    except (UnusableDatabase, WorkerFailed) as error:
        fail(str(error))
    finally:
        listener.close()


def load_settings(given: dict[str, Any]) -> Any:
    """Flags over environment over defaults; a value that makes no sense is a usage error. The folder of the default
    database is made."""
    from pydantic import ValidationError

    from api_server.settings import Settings, default_database

    try:
        settings = Settings(**given)
    except ValidationError as error:
        first = error.errors()[0]
        raise typer.BadParameter(f"{first['loc'][0]}: {first['msg']}") from None
    if settings.database == default_database():
        try:
            Path(settings.database.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            fail(f"cannot make the folder of {settings.database}: {error.strerror}")
    return settings


def announce(url: str, database: str) -> None:
    """One line, where programs that start a server look for it."""
    from api_server.store.engine import parse

    shown = parse(database).render_as_string(hide_password=True)
    typer.echo(f"vaportrail: listening on {url} (docs at {url}/docs, database {shown})")
