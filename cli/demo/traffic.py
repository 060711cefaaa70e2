"""Connections that stay open and are used: `python -m cli.demo.traffic URL COUNT`, run inside a workload's namespace.

Each connection asks again every 100 ms over the same socket. A line on standard input is answered by a line of JSON:
`{"open": 40, "broken": 0, "exchanges": 812, "backends": {"web-0": 21, "web-1": 19}}`. End of input ends it.
"""

import asyncio
import contextlib
import json
import sys
from collections import Counter
from urllib.parse import urlsplit

PAUSE = 0.1
PATIENCE = 3.0  # seconds without an answer: broken


class Traffic:
    def __init__(self) -> None:
        self.open = self.broken = self.exchanges = 0
        self.backends: Counter[str] = Counter()

    async def connection(self, host: str, port: int) -> None:
        request = f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
        backend = None
        try:
            reader, writer = await asyncio.wait_for(asyncio.open_connection(host, port), PATIENCE)
            self.open += 1
            while True:
                writer.write(request)
                answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)
                length = next(int(line[15:]) for line in answer.split(b"\r\n") if line.startswith(b"Content-Length:"))
                who = (await asyncio.wait_for(reader.readexactly(length), PATIENCE)).split()[0].decode()
                if backend is None:
                    backend = who
                    self.backends[who] += 1
                self.exchanges += 1
                await asyncio.sleep(PAUSE)
        except (OSError, EOFError, TimeoutError):
            self.broken += 1

    def report(self) -> str:
        return json.dumps(
            {"open": self.open, "broken": self.broken, "exchanges": self.exchanges, "backends": self.backends}
        )


async def main() -> None:
    url, count = urlsplit(sys.argv[1]), int(sys.argv[2])
    traffic = Traffic()
    connections = [asyncio.create_task(traffic.connection(url.hostname or "", url.port or 80)) for _ in range(count)]
    loop = asyncio.get_running_loop()
    while await loop.run_in_executor(None, sys.stdin.readline):
        print(traffic.report(), flush=True)
    for connection in connections:
        connection.cancel()
    await asyncio.gather(*connections, return_exceptions=True)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
