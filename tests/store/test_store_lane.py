"""Calls beside the loop."""

import asyncio
import threading

import pytest

from api_server.store.lane import aside


async def test_a_call_aside_is_answered() -> None:
    names = await asyncio.gather(*[aside("beside", lambda: threading.current_thread().name) for _ in range(2)])
    assert names == ["beside-0", "beside-0"]
    with pytest.raises(ZeroDivisionError):
        await aside("beside", lambda: 1 // 0)


def test_a_call_aside_keeps_no_loop_from_ending() -> None:
    """The threads of asyncio's own pool would: it waits for them."""
    begun, go = threading.Event(), threading.Event()

    def long() -> None:
        begun.set()
        go.wait()

    async def main() -> None:
        waiting = asyncio.ensure_future(aside("beside", long))
        while not begun.is_set():
            await asyncio.sleep(0)
        waiting.cancel()

    ending = threading.Thread(target=asyncio.run, args=(main(),))
    ending.start()
    ending.join(20)
    ended = not ending.is_alive()
    go.set()
    ending.join()
    assert ended
