"""`vaportrail exec POD CMD...`: a command in a workload's network namespace."""

from typing import Annotated

import typer

from cli.output import fail


def execute(
    workload: Annotated[str, typer.Argument(metavar="POD", help="Name of the workload, as `vaportrail vif` shows it.")],
    command: Annotated[list[str], typer.Argument(metavar="CMD...", help="The command and its arguments.")],
) -> None:
    """Run a command in a workload's network namespace, e.g. `vaportrail exec web-0 ip route`."""
    from vrouter import namespace  # only this command enters namespaces
    from vrouter.backends.protocol import BackendError

    try:
        namespace.execute(workload, command)
    except BackendError as error:
        fail(str(error))
    except FileNotFoundError:
        fail(f"{command[0]}: no such command", status=127)
