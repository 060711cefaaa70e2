"""`vaportrail serve` as a process of its own, and Contrail's client from PyPI connected to it."""

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest
from contrail_objects import Maker, vnc_api

from api_server import care
from cli.demo.programs import Program

_NUMBERS = count(1)


@pytest.fixture(scope="session")
def contrail_url(new_database: Callable[[], str]) -> Iterator[str]:
    """One server for all these tests: each works in a project of its own. What they leave needs no repair."""
    database = new_database()
    with Program("serve", "--port", "0", "--database", database) as server:
        yield server.wait_ready()
    assert care.check(database) == care.Report()


@pytest.fixture
def vnc(contrail_url: str) -> Iterator[Any]:
    """Contrail's client, with its connections closed afterwards: it leaves that to the garbage collector."""
    host, port = contrail_url.removeprefix("http://").split(":")
    client = vnc_api.VncApi(api_server_host=host, api_server_port=port, auth_type="noauth")
    yield client
    for session in client._api_server_session.api_server_sessions.values():
        session.close()


@pytest.fixture
def project(vnc: Any) -> Any:
    """A new one."""
    name = f"p{next(_NUMBERS)}"
    vnc.project_create(vnc_api.Project(name))
    return vnc.project_read(["default-domain", name])


@pytest.fixture
def maker(vnc: Any, project: Any) -> Maker:
    return Maker(vnc, project)
