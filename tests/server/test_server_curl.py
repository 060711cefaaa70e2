"""What docs/api.md shows of the watch and of history runs."""

import asyncio
import json
import re
import shutil
from pathlib import Path

import httpx
import pytest
from serverlab import create

API = (Path(__file__).parent.parent.parent / "docs/api.md").read_text()


def curl_lines(section: str) -> list[str]:
    text = API.split(f"\n## {section}\n")[1].split("\n## ")[0]
    return re.findall(r"^    (curl .+)$", text, re.MULTILINE)


async def run(command: str, address: str) -> str:
    """What it prints within a second: a watch does not end."""
    words = command.replace("http://127.0.0.1:8082", address).replace("curl ", "curl --silent --max-time 1 ", 1)
    process = await asyncio.create_subprocess_shell(words, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    assert process.returncode in (0, 28), command
    return output.decode()


@pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")
async def test_the_lines_of_the_api_page(address: str) -> None:
    async with httpx.AsyncClient(base_url=address) as client:
        await create(client, "loadbalancer", "lb")
    watching, history = curl_lines("Watch"), curl_lines("History")
    assert watching
    assert history
    for told in await asyncio.gather(*[run(command, address) for command in watching]):
        assert told.startswith(("event: init\n", "event: create\n", "event: bookmark\n", '{"event":"')), told
    for told in await asyncio.gather(*[run(command, address) for command in history]):
        assert json.loads(told).keys() == {"changes", "next", "revision", "compacted"}
