"""`vaportrail service create | show | delete`: a whole load balancer in one line."""

from collections.abc import Iterator
from typing import Annotated, Any

import typer

from cli.api import SERVER, Api, ask
from cli.objects import completion
from cli.objects.commands import Yes, confirm
from cli.output import ObjectFormat, ObjectOutput, counted, print_data, print_table

app = typer.Typer(no_args_is_help=True)

Name = Annotated[
    str, typer.Argument(metavar="NAME", autocompletion=completion.names("loadbalancer"), help="Of the loadbalancer.")
]


@app.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the loadbalancer; the other objects' begin with it.")],
    network: Annotated[
        str,
        typer.Option(metavar="NAME", autocompletion=completion.names("virtual-network"), help="In which the VIP is."),
    ],
    port: Annotated[
        list[str], typer.Option(metavar="PORT[:TARGET][/udp]", help="Of the VIP, and of the back-ends; repeatable.")
    ],
    backend: Annotated[
        list[str] | None,
        typer.Option(
            metavar="POD|ADDRESS", autocompletion=completion.names("virtual-machine"), help="Repeatable."
        ),
    ] = None,
    vip: Annotated[str, typer.Option(metavar="ADDRESS", help="auto: the server chooses.")] = "auto",
    project: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", autocompletion=completion.names("project"), help="Default: the network's.",
            show_default=False,
        ),
    ] = None,
    output: ObjectOutput = ObjectFormat.table,
    api: Api = SERVER,
) -> None:  # fmt: skip
    """Create a load balancer with its VIP, listeners, pools and members, all or nothing; says what exists already."""
    from api_client import ApiClient
    from cli.objects import plan
    from cli.service import creation, declaration

    async def made(client: ApiClient) -> tuple[str, list[plan.Step]]:
        address, ports = declaration.vip(vip), [declaration.port(text) for text in port]
        service = await creation.resolve(client, name, address, network, project, ports, backend or [])
        return await creation.create(client, service)

    address, steps = ask(api, made)
    if output is ObjectFormat.table:
        plan.show(steps)
        typer.echo(f"VIP {address}")
    else:
        print_data({"vip": address, "objects": plan.rows(steps)}, output)


@app.command()
def show(name: Name, output: ObjectOutput = ObjectFormat.table, api: Api = SERVER) -> None:
    """The VIP, listeners, pools and members of a load balancer, and which members are linked to the VIP."""
    from cli.service import description

    found = ask(api, lambda client: description.describe(client, name))
    if output is not ObjectFormat.table:
        print_data(found, output)
        return
    status = f"  {found['operating_status']}" if found["operating_status"] else ""
    what = f"VIP {found['vip'] or '-'}  provider {found['provider'] or '-'}{_down(found)}{status}"
    typer.echo(f"{':'.join(found['fq_name'])}  {what}\n")
    columns = ["Listener", "Pool", "Method", "Member", "Address", "Weight", "Linked", "Status"]
    shown = len(columns) - (not status)  # where no node reports there is nothing to show
    print_table(columns[:shown], (row[:shown] for row in _rows(found)))
    typer.echo(f"\n{counted(found['members'], 'member')}, {found['linked']} linked")


def _rows(service: dict[str, Any]) -> Iterator[list[object]]:
    for listener in service["listeners"]:
        heading = f"{listener['protocol'] or '-'} {listener['port'] or '-'}{_down(listener)}"
        for pool in listener["pools"]:
            for member in pool["members"]:
                yield [
                    heading, pool["name"], pool["method"], f"{member['name']}{_down(member)}",
                    f"{member['address']}:{member['port']}", member["weight"], "yes" if member["linked"] else "no",
                    member["operating_status"],
                ]  # fmt: skip
            if not pool["members"]:
                yield [heading, pool["name"], pool["method"], *[None] * 5]
        if not listener["pools"]:
            yield [heading, *[None] * 7]


def _down(part: dict[str, Any]) -> str:
    return " (down)" if part["admin_state"] is False else ""


@app.command()
def delete(name: Name, yes: Yes = False, api: Api = SERVER) -> None:
    """Delete a load balancer with all that it is made of; shows it and asks."""
    from cli.objects import plan, removal
    from cli.service import deletion

    order = ask(api, lambda client: deletion.parts(client, name))
    for each in order:
        typer.echo(each.path)
    confirm(f"Delete these {len(order)}?", yes)
    ask(api, lambda client: plan.carry_out(client, removal.steps(order)))
    typer.echo(f"{counted(len(order), 'object')} deleted")
