"""The agent of a node as commands ask it: where it is, and how what goes wrong is told."""

import asyncio
from enum import StrEnum
from typing import Annotated, Any

import orjson
import typer

from cli.output import fail
from vrouter.settings import INTROSPECT_PORT

Introspect = Annotated[
    str, typer.Option(envvar="VAPORTRAIL_INTROSPECT", metavar="URL", help="Where the agent listens for questions.")
]
VrfOption = Annotated[
    str | None, typer.Option("--vrf", metavar="VRF", help="Only this VRF: its index, name or the name's last part.")
]


class Transport(StrEnum):
    tcp = "tcp"
    udp = "udp"


AGENT = f"http://127.0.0.1:{INTROSPECT_PORT}"


def ask_agent(
    introspect: str, page: str, body: Any = None, *, within: float = 30.0, **parameters: str | float | None
) -> Any:
    """A page of the agent; parameters that are None are left out. body: POSTed, as JSON. within: seconds for the whole
    answer."""
    from api_client import ApiClient, ApiError, ClientError, Unreachable

    async def ask() -> Any:
        async with ApiClient(introspect) as client:
            given = {name: str(value) for name, value in parameters.items() if value is not None}
            return await client.request("GET" if body is None else "POST", page, body, parameters=given, within=within)

    try:
        return asyncio.run(ask())
    except Unreachable as error:
        fail(f"no vRouter agent at {introspect} ({error.cause}); start one with: vaportrail vrouter")
    except ApiError as error:
        fail(_words(error.text) or f"{introspect} is no vRouter agent ({error})")
    except ClientError as error:
        fail(str(error))


def _words(answer: str) -> str | None:
    """What an agent says of a question it refuses; None if this is no agent's answer."""
    try:
        return str(orjson.loads(answer)["error"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None
