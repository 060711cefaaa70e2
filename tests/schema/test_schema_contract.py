"""The model against the contract, both ways; and against a digest of it, for a clone that has no contract beside it."""

import hashlib
import json
import os
from pathlib import Path

import pytest
from schema_facts import of_contract, of_model

import schema

REPOSITORY = Path(__file__).resolve().parents[2]
CONTRACT = Path(os.environ.get("VAPORTRAIL_CONTRACT", REPOSITORY.parent / "shared/contract/model.json"))

DIGEST = "e534345b0ad7ca1653fada3c368b9dce94f7c9a9300d677c82c5b512b35c2175"
"""Of all facts of the contract. It changes with the object model only: a new type, property, bound, ..."""


def digest(facts: set[str]) -> str:
    return hashlib.sha256("\n".join(sorted(facts)).encode()).hexdigest()


@pytest.fixture(scope="module")
def contract() -> set[str]:
    if not CONTRACT.exists():
        pytest.skip(f"no contract at {CONTRACT}; VAPORTRAIL_CONTRACT names another place")
    return set(of_contract(json.loads(CONTRACT.read_bytes())))


@pytest.fixture(scope="module")
def ours() -> set[str]:
    return set(of_model(schema.load()))


def test_says_all_the_contract_says(ours: set[str], contract: set[str]) -> None:
    assert sorted(contract - ours) == []


def test_says_nothing_else(ours: set[str], contract: set[str]) -> None:
    assert sorted(ours - contract) == []


def test_digest_is_that_of_the_contract(contract: set[str]) -> None:
    assert digest(contract) == DIGEST


def test_model_has_the_digest(ours: set[str]) -> None:
    assert digest(ours) == DIGEST
