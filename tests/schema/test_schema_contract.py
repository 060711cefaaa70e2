"""The model against the facts of Contrail's own schema, both ways, by their digest.

VAPORTRAIL_CONTRACT names a file of the facts; with it a failure says which of them differ.
"""

import hashlib
import json
import os
from pathlib import Path

from schema_facts import of_contract, of_model

import schema

CONTRACT = os.environ.get("VAPORTRAIL_CONTRACT")

DIGEST = "e534345b0ad7ca1653fada3c368b9dce94f7c9a9300d677c82c5b512b35c2175"
"""Of all facts. It changes with the object model only: a new type, property, bound, ..."""


def digest(facts: set[str]) -> str:
    return hashlib.sha256("\n".join(sorted(facts)).encode()).hexdigest()


def test_the_model_says_all_that_contrails_schema_says_and_nothing_else() -> None:
    ours = set(of_model(schema.load()))
    if CONTRACT:
        facts = set(of_contract(json.loads(Path(CONTRACT).read_bytes())))
        assert digest(facts) == DIGEST
        assert sorted(facts - ours) == []
        assert sorted(ours - facts) == []
    assert digest(ours) == DIGEST
