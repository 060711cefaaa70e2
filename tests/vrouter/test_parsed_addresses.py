"""Addresses that keep their hash and text."""

import pickle
from copy import deepcopy
from ipaddress import ip_address

import pytest

from vrouter.addresses import parse


@pytest.mark.parametrize("text", ["10.0.0.1", "fd00::1", "FD00:0::1", "fe80::1%eth0", "255.255.255.255", "::"])
def test_they_are_those_of_ipaddress(text: str) -> None:
    plain, kept = ip_address(text), parse(text)
    assert (kept, hash(kept), str(kept), kept.packed, kept.version) == (
        plain, hash(plain), str(plain), plain.packed, plain.version,
    )  # fmt: skip
    assert {plain: 1}[kept] == 1
    assert {kept: 1}[plain] == 1
    assert f"{kept}" == f"{plain}"
    assert parse(text) is kept


@pytest.mark.parametrize("text", ["10.0.0.1", "fd00::1", "fe80::1%eth0"])
def test_what_is_made_of_one_is_whole(text: str) -> None:
    kept = parse(text)
    for made in (deepcopy(kept), pickle.loads(pickle.dumps(kept)), kept + 1 - 1):
        assert (str(made), hash(made)) == (str(ip_address(str(made))), hash(ip_address(str(made))))
    assert deepcopy(kept) == kept


def test_what_clients_send_instead_of_text() -> None:
    assert parse(1) == ip_address(1)
    for wrong in ("", "10.0.0", "10.0.0.1/32", None, [], {}):
        with pytest.raises(ValueError, match="does not appear"):
            parse(wrong)
