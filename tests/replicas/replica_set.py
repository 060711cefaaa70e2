"""What tests of replicas ask of them."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from cli.demo.programs import Program

PROJECT = ["default-domain", "default-project"]


@dataclass(frozen=True)
class Replicas:
    """urls: of one replica and of another; of workers, the same."""

    programs: Sequence[Program]
    urls: tuple[str, str]


async def create(client: httpx.AsyncClient, kind: str, name: str, **fields: Any) -> dict[str, Any]:
    """A created object's answer; it stands in the default project."""
    answer = await client.post(f"/{kind}s", json={kind: {"fq_name": [*PROJECT, name], **fields}})
    assert answer.status_code == 200, answer.text
    created: dict[str, Any] = answer.json()[kind]
    return created


async def read(client: httpx.AsyncClient, kind: str, uuid: str) -> dict[str, Any]:
    answer = await client.get(f"/{kind}/{uuid}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()[kind]
    return found


@asynccontextmanager
async def watching(client: httpx.AsyncClient, query: str) -> AsyncIterator[AsyncIterator[str]]:
    """The frames of a watch but for bookmarks and comments."""
    async with client.stream("GET", f"/watch?{query}") as answer:
        assert answer.status_code == 200, await answer.aread()

        async def frames() -> AsyncIterator[str]:
            lines: list[str] = []
            async for line in answer.aiter_lines():
                if line:
                    lines.append(line)
                    continue
                if lines and lines[0] not in ("event: bookmark", ":"):
                    yield "\n".join(lines)
                lines = []

        yield frames()


def id_of(frame: str) -> int | None:
    return next((int(line[4:]) for line in frame.split("\n") if line.startswith("id: ")), None)


async def until(frames: AsyncIterator[str], revision: int) -> list[str]:
    """Those up to and including a revision's last."""
    found = []
    async for frame in frames:
        found.append(frame)
        if (id_of(frame) or 0) >= revision:
            break
    return found
