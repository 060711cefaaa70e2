"""The API server as commands ask it: where it is, and how what goes wrong is told."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from cli.output import Failure, fail

if TYPE_CHECKING:
    from api_client import ApiClient

Answer = TypeVar("Answer")

Api = Annotated[str, typer.Option("--api", envvar="VAPORTRAIL_API", metavar="URL", help="The API server.")]
SERVER = "http://127.0.0.1:8082"


def ask(url: str, work: "Callable[[ApiClient], Awaitable[Answer]]") -> Answer:
    """What `work` gives. What it is refused, and a Failure, end the command with one sentence."""
    from api_client import ApiClient, ApiError, ClientError

    async def run() -> Answer:
        async with ApiClient(url) as client:
            return await work(client)

    try:
        return asyncio.run(run())
    except Failure as failure:
        fail(str(failure), failure.status)
    except ApiError as error:
        fail(" ".join(error.text.split()))
    except ClientError as error:
        fail(str(error))
