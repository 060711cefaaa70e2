"""What `vaportrail flow --watch` makes of what it is shown."""

from typing import Any

from cli.flows import Changes


def row(port: int = 1, **fields: Any) -> dict[str, Any]:
    return {
        "vrf": 5, "protocol": "tcp", "source": "10.0.0.3", "source_port": port, "vip": "10.0.0.100", "port": 80,
        "member": "if-a", "packets": 1, "reverse_packets": 1, "expires": 180.0, "closing": False, **fields,
    }  # fmt: skip


def look(changes: Changes, now: float, *rows: dict[str, Any]) -> list[tuple[str, int, float]]:
    return [(what, found["source_port"], found["age"]) for what, found in changes.take(rows, now)]


def test_the_life_of_a_flow() -> None:
    changes = Changes()
    assert look(changes, 0.0, row(1)) == [("now", 1, 0.0)]
    assert look(changes, 1.0, row(2, expires=30.0)) == [("new", 2, 0.0)]
    assert look(changes, 2.0, row(1, packets=4), row(2, expires=29.0)) == [("more", 1, 2.0)]
    assert look(changes, 3.0, row(1, packets=5, closing=True, expires=10.0)) == [("closing", 1, 3.0)]
    assert look(changes, 12.9) == []
    assert look(changes, 13.0) == [("end", 1, 13.0)]
    assert look(changes, 30.0) == []
    assert look(changes, 31.0) == [("end", 2, 30.0)]
    assert look(changes, 500.0) == []


def test_a_packet_puts_the_end_off() -> None:
    changes = Changes()
    look(changes, 0.0, row(expires=30.0))
    assert look(changes, 20.0, row(packets=2, expires=180.0)) == [("more", 1, 20.0)]
    assert look(changes, 199.0) == []
    assert look(changes, 200.0) == [("end", 1, 200.0)]


def test_a_new_connection_from_the_same_port() -> None:
    changes = Changes()
    look(changes, 0.0, row(packets=9))
    assert look(changes, 5.0, row(packets=1)) == [("new", 1, 0.0)]
    assert look(changes, 6.0, row(packets=1, member="if-b")) == [("new", 1, 0.0)]
