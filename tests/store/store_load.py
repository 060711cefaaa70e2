"""A process that writes until it is killed, and says on its output what was acknowledged.

python store_load.py URL ROUND
"""

import asyncio
import sys
from functools import partial
from itertools import count

from store_objects import link, make

from api_server.store import Create, Store, Transaction


async def main(url: str, round: str) -> None:
    store = await Store.open(url)

    def request(name: str, tx: Transaction) -> None:
        domain = make("domain", name)
        project = make("project", "p", domain)
        tag = make("tag", "t", project)
        tx.apply(Create(domain))
        tx.apply(Create(project))
        tx.apply(Create(tag))
        tx.apply(Create(link(make("network-ipam", "i", project), tag)))
        tx.take("pool", [(1, 10**9)], project.uuid)

    async def client(number: int) -> None:
        for turn in count():
            name = f"{round}-{number}-{turn}"
            await store.write(partial(request, name))
            print(name, flush=True)

    await asyncio.gather(*[client(number) for number in range(8)])


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
