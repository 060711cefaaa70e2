"""The `vaportrail` command: what there is to say, and where it is done.

Only this module knows all commands. Each imports what it needs when it runs: `vaportrail rt` does not load the server.
"""

from typing import Annotated

import typer

from cli import dataplane, db, execute, flows, health, history, nodes, rehearsal, serve, stats, status, vrouter
from cli.demo import command as demo
from cli.objects import commands
from cli.service import command as service

app = typer.Typer(
    name="vaportrail",
    help="Contrail's native service load balancing without Contrail.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"vaportrail {version('vaportrail')}")
        raise typer.Exit


@app.callback()
def root(
    _: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Contrail's native service load balancing without Contrail."""


PROGRAMS = "Programs"
app.command(rich_help_panel=PROGRAMS)(serve.serve)
app.command(rich_help_panel=PROGRAMS)(vrouter.vrouter)
app.command(rich_help_panel=PROGRAMS)(demo.demo)
app.add_typer(db.db_app, name="db", rich_help_panel=PROGRAMS, help="Care for the database.")

OBJECTS = "Objects"
app.command(rich_help_panel=OBJECTS)(commands.ls)
app.command(rich_help_panel=OBJECTS)(commands.cat)
app.command(rich_help_panel=OBJECTS)(commands.tree)
app.command(rich_help_panel=OBJECTS)(commands.create)
app.command("set", rich_help_panel=OBJECTS)(commands.set_)
app.command(rich_help_panel=OBJECTS)(commands.edit)
app.command(rich_help_panel=OBJECTS)(commands.ln)
app.command(rich_help_panel=OBJECTS)(commands.rm)
app.command(rich_help_panel=OBJECTS)(commands.apply)
app.command(rich_help_panel=OBJECTS)(history.log)
app.add_typer(service.app, name="service", rich_help_panel=OBJECTS, help="A whole load balancer in one line.")

app.command(rich_help_panel="All nodes")(nodes.nodes)

DATAPLANE = "The data plane of one node"
for command in (
    dataplane.rt,
    dataplane.nh,
    dataplane.vif,
    flows.flow,
    stats.stats,
    status.status,
    dataplane.why,
    health.health,
    dataplane.trace,
    dataplane.wait,
    rehearsal.plan,
):
    app.command(rich_help_panel=DATAPLANE)(command)
app.command(
    "exec",
    rich_help_panel=DATAPLANE,
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)(execute.execute)


def main() -> None:
    app()
