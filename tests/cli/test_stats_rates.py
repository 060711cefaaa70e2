"""What `vaportrail stats --watch` makes of two looks."""

from typing import Any

from cli.stats import COUNTERS, rates


def counters(number: int) -> dict[str, int]:
    return dict.fromkeys(COUNTERS, number)


def page(first: int, *more: int) -> list[dict[str, Any]]:
    members = [{"address": f"10.0.0.{n}", "port": 80, **counters(value)} for n, value in enumerate((first, *more))]
    listener = {"protocol": "tcp", "port": 80, "members": members, **counters(sum((first, *more)))}
    return [{"vrf": 5, "vip": "10.0.0.100", "name": "lb", "listeners": [listener], **counters(sum((first, *more)))}]


def test_what_was_added_in_a_second() -> None:
    (vip,) = rates(page(10, 20), page(30, 20), 2.0)
    (listener,) = vip["listeners"]
    assert (vip["connections"], listener["bytes"], vip["name"]) == (10.0, 10.0, "lb")
    assert [member["packets"] for member in listener["members"]] == [10.0, 0.0]


def test_what_is_new_counts_from_nothing() -> None:
    (vip,) = rates([], page(5), 1.0)
    assert vip["connections"] == 5.0
    (vip,) = rates(page(5), page(5, 7), 1.0)
    assert [member["connections"] for member in vip["listeners"][0]["members"]] == [0.0, 7.0]


def test_counters_that_began_anew_are_no_negative_rate() -> None:
    """A VRF that was made again."""
    (vip,) = rates(page(500), page(3), 1.0)
    assert vip["connections"] == 0
