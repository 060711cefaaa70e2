"""Whatever is sent, the answer is one of the contract's statuses, never a fault; what is accepted can be read back."""

from typing import Any

import httpx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from serverlab import PROJECT, running

import schema
from api_server.app import create_app
from api_server.routes.home import ACTIONS
from api_server.settings import Settings

MODEL = schema.load()
EXPECTED = {200, 304, 400, 403, 404, 405, 409, 410, 412, 413, 501}
SLOW_IS_FINE = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
json_values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=12
)
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
kinds = st.sampled_from(sorted(MODEL.types)).map(MODEL.types.__getitem__)
fq_names = st.one_of(
    st.just([*PROJECT, "x"]), st.lists(st.text(min_size=1, max_size=8), max_size=4), st.just(PROJECT), json_values
)


@st.composite
def bodies(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """A body of some type: known fields with any values, names that may exist."""
    kind = draw(kinds)
    known = st.sampled_from([*kind.properties, *kind.references, "parent_type", "uuid", "nonsense"])
    fields = draw(st.dictionaries(known, json_values, max_size=4))
    if draw(st.booleans()):
        wanted = draw(st.sampled_from([*kind.references]))
        fields[wanted] = [{"to": draw(fq_names), "attr": draw(json_values)}]
    return kind.name, {"fq_name": draw(fq_names), **fields}


async def requests(database_url: str, *wanted: tuple[str, str, Any]) -> list[httpx.Response]:
    app = create_app(Settings(database=database_url))
    async with running(app) as client:
        return [await client.request(method, path, json=body) for method, path, body in wanted]


@SLOW_IS_FINE
@given(st.lists(bodies(), min_size=1, max_size=8))
async def test_bodies(database_url: str, sent: list[tuple[str, dict[str, Any]]]) -> None:
    answers = await requests(database_url, *[("POST", f"/{kind}s", {kind: body}) for kind, body in sent])
    assert {answer.status_code for answer in answers} <= EXPECTED, [answer.text for answer in answers]
    follow = []
    for (kind, body), answer in zip(sent, answers, strict=True):
        if answer.status_code == 200:
            path = f"/{kind}/{answer.json()[kind]['uuid']}"
            follow += [("GET", path, None), ("PUT", path, {kind: body}), ("DELETE", path, None)]
    for answer in await requests(database_url, *follow):
        assert answer.status_code in EXPECTED, answer.text
        assert answer.request.method != "GET" or answer.status_code == 200


@SLOW_IS_FINE
@given(
    st.sampled_from(sorted({(path.replace("%s", "x"), method) for _, path, method in ACTIONS if path != "/watch"})),
    json_values
    | st.fixed_dictionaries(
        {},
        optional={
            "type": st.just("loadbalancer") | json_values,
            "uuid": json_values,
            "fq_name": fq_names,
            "operation": st.sampled_from(["ADD", "STORE", "RETRIEVE"]) | json_values,
            "key": json_values,
            "value": json_values,
            "ref-type": st.just("virtual-machine-interface") | json_values,
            "ref-uuid": json_values,
            "ref-fq-name": fq_names,
            "updates": json_values,
            "filters": json_values,
            "fields": json_values,
            "parent_id": json_values,
            "obj_uuids": json_values,
            "page_marker": json_values,
            "page_limit": json_values,
            "owner": json_values,
        },
    ),
)
async def test_actions(database_url: str, action: tuple[str, str], body: Any) -> None:
    path, method = action
    (answer,) = await requests(database_url, (method, path, body))
    assert answer.status_code in EXPECTED, answer.text


@SLOW_IS_FINE
@given(
    kinds,
    st.dictionaries(
        st.sampled_from([
            "detail", "count", "fields", "parent_id", "parent_fq_name_str", "parent_type", "back_ref_id", "obj_uuids",
            "fq_names", "filters", "shared", "exclude_hrefs", "page_marker", "page_limit",
        ]),
        texts | st.sampled_from(["true", "2", "a==1"]),
        max_size=4,
    ),
)  # fmt: skip
async def test_queries(database_url: str, kind: schema.ResourceType, query: dict[str, str]) -> None:
    path = httpx.URL(f"/{kind.plural}", params=query)
    (answer,) = await requests(database_url, ("GET", str(path), None))
    assert answer.status_code in EXPECTED, answer.text
