"""Messages have Contrail's shape (contract 6.1); addresses are read without giving passwords away."""

import orjson
import pytest
from pydantic import ValidationError

from api_server.notify import address
from api_server.notify.address import addresses, shown, with_heartbeat
from api_server.notify.messages import message
from api_server.settings import Settings
from api_server.store import Entry

UUID = "11111111-1111-4111-8111-111111111111"
OBJECT = '{"uuid":"%s","fq_name":["a","b"],"display_name":"b"}' % UUID  # noqa: UP031 - braces


def entry(operation: str, implicit: int = 0, type: str = "floating-ip-pool", fq_name: str = "a:b") -> Entry:
    return Entry(7, 2, operation, type, UUID, fq_name, OBJECT, "req-1", implicit)  # type: ignore[arg-type]


@pytest.mark.parametrize("operation", ["create", "delete"])
def test_a_create_and_a_delete_carry_the_object(operation: str) -> None:
    found = message(entry(operation))
    assert orjson.loads(found.body) == {
        "request-id": "req-1",
        "oper": operation.upper(),
        "type": "floating_ip_pool",
        "uuid": UUID,
        "fq_name": ["a", "b"],
        "obj_dict": orjson.loads(OBJECT),
    }
    assert found.id == "7.2"


@pytest.mark.parametrize(("implicit", "oper"), [(0, "UPDATE"), (1, "UPDATE-IMPLICIT")])
def test_an_update_carries_none(implicit: int, oper: str) -> None:
    assert orjson.loads(message(entry("update", implicit)).body) == {
        "request-id": "req-1",
        "oper": oper,
        "type": "floating_ip_pool",
        "uuid": UUID,
        "fq_name": ["a", "b"],
    }


def test_a_name_that_holds_colons_stays_whole() -> None:
    body = orjson.loads(message(entry("create", type="route-target", fq_name="target:1:2")).body)
    assert body["fq_name"] == ["target:1:2"]


def test_several_brokers_are_separated_by_commas() -> None:
    given = "amqp://u:p@a:5672/, amqps://u:p@b/v"
    assert addresses(given) == ("amqp://u:p@a:5672/", "amqps://u:p@b/v")
    assert Settings(notify=given).notify == "amqp://u:p@a:5672/,amqps://u:p@b/v"
    assert addresses("") == ()


@pytest.mark.parametrize(
    "given", ["http://u:secret@a/", "a:5672", "amqp://", "amqp://u:secret@a:port/", "amqp://u:secret@[a/"]
)
def test_what_is_no_address_is_refused_without_the_password(given: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Settings(notify=f"amqp://ok/,{given}")
    told = refused.value.errors()[0]["msg"]
    assert "broker 2: no address of a broker, such as amqp://" in told
    assert "secret" not in told


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(address, "find_spec", lambda name: None)
    assert addresses("") == ()
    with pytest.raises(ValueError, match=r"pip install 'vaportrail\[amqp\]'"):
        addresses("amqp://a/")


def test_what_is_shown_has_no_secrets() -> None:
    assert shown("amqps://user:secret@host:5671/v?cafile=x&certfile=y") == "amqps://host:5671/v"
    assert "secret" not in repr(Settings(notify="amqp://user:secret@host/"))


def test_a_heartbeat_is_added_unless_given() -> None:
    assert with_heartbeat("amqp://a/v", 15) == "amqp://a/v?heartbeat=15"
    assert with_heartbeat("amqp://a/v?cafile=x", 15) == "amqp://a/v?cafile=x&heartbeat=15"
    assert with_heartbeat("amqp://a/v?heartbeat=5", 15) == "amqp://a/v?heartbeat=5"
