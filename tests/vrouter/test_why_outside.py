"""What `why` says of an address outside."""

from test_compiler_routes import own, public
from world import World

from vrouter.backends.protocol import BackendSettings
from vrouter.backends.simulator import SimulatorBackend
from vrouter.reconciler import Reconciler
from vrouter.why import explain


async def told(world: World, question: str = "out") -> list[str]:
    reconciler = Reconciler(SimulatorBackend(BackendSettings("n1")), world.compiler.desired)
    await reconciler.start()
    await reconciler.reconcile(reconciler.everything())
    page = await explain(question, world.cache, world.compiler, reconciler, reconciler._backend)
    await reconciler.close()
    marks = {True: "+", False: "!", None: " "}
    return [f"{marks[line['good']]} {line['text']}" for answer in page["answers"] for line in answer["lines"]]


async def test_of_a_load_balancer() -> None:
    assert await told(public()) == [
        "+ floating-ip out: 203.0.113.5",
        "+ 203.0.113.5 leads to d:p:web; it is reached from outside by eth9, and this node answers for it there",
    ]


async def test_of_a_pod() -> None:
    assert (await told(own()))[1] == (
        "+ 203.0.113.5 is 10.0.0.1 in VRF 5; it is reached from outside by eth9, and this node answers for it there"
    )


async def test_without_an_external_interface() -> None:
    assert await told(public(device=None)) == [
        "  floating-ip out: 203.0.113.5",
        "! floating-ip out: this node has no external interface, so 203.0.113.5 is not reached from outside by it",
    ]


async def test_of_whom_it_is_says_so_too() -> None:
    lost = "! floating-ip out: this node has no external interface, so 203.0.113.5 is not reached from outside by it"
    assert lost in await told(public(device=None), "web")
    assert lost in await told(own(device=None), "if-a")
    way = "it is reached from outside by eth9, and this node answers for it there"
    assert f"+ 203.0.113.5 leads to d:p:web; {way}" in await told(public(), "web")
    assert f"+ 203.0.113.5 is 10.0.0.1 in VRF 5; {way}" in await told(own(), "if-a")
