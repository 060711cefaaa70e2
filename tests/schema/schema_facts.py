"""What a model says, as sentences that do not depend on its form: from ours, and from the contract's model.json."""

from collections.abc import Iterator, Mapping
from typing import Any

from schema import ObjectModel

PRESENCE = {"true": "required", None: "optional", "exclusive": "optional"}
ENFORCED_PATTERNS = {"CommunityAttribute", "ServiceInterfaceType"}


def of_model(model: ObjectModel) -> Iterator[str]:
    for t in model.types.values():
        yield f"{t.name} is called {t.ident} and {t.plural}"
        if t.is_root:
            yield f"{t.name} may stand without a parent"
        for parent in t.parents:
            yield f"{t.name} stands under {parent}"
        for p in t.properties.values():
            base = model.base(p.type)
            yield f"{t.name}.{p.name}: {p.type} ({base}) {p.kind} {p.wrapper} {p.key} {p.item_type}"
            yield f"{t.name}.{p.name} has default {p.default!r}, operations {p.operations}, presence {p.presence}"
        for r in t.references.values():
            yield f"{t.name}.{r.field} -> {r.to} {r.attr} derived={r.derived} {r.operations} {r.presence}"
            if r.symmetric:
                yield f"{t.name}.{r.field} is symmetric"
        for c in t.children.values():
            yield f"{t.name} has children {c.field} of {c.type} derived={c.derived}"
        for b in t.back_references.values():
            yield f"{t.name} has back references {b.field} of {b.type} {b.attr} derived={b.derived}"
    for ct in model.complex_types.values():
        yield f"{ct.name} is a complex type"
        for m in ct.members.values():
            base = model.base(m.type)
            yield f"{ct.name}.{m.name}: {m.type} ({base}) list={m.is_list} default {m.default!r} {m.presence}"
    for st in model.simple_types.values():
        yield f"{st.name} is {st.base} {list(st.enum)} {st.minimum} {st.maximum} pattern={st.pattern is not None}"


def of_contract(document: Mapping[str, Any]) -> Iterator[str]:
    types, complex_types, simple_types = (document[key] for key in ("resource_types", "complex_types", "simple_types"))
    enforced = document["common"]["server_rules"]["required_enforced_only_for"]
    for name, t in types.items():
        yield f"{name} is called {t['object_type']} and {t['list_key']}"
        if "config-root" in t["parent_types"]:
            yield f"{name} may stand without a parent"
        for parent in t["parent_types"]:
            if parent != "config-root":
                yield f"{name} stands under {parent}"
        for p, x in t["properties"].items():
            collection = f"{x['kind']} {x.get('wrapper_field')} {x.get('map_key')} {_item(x, complex_types)}"
            presence = "mandatory" if p in enforced else x["presence"]
            yield f"{name}.{p}: {_type(x)} ({_base(x)}) {collection}"
            yield f"{name}.{p} has default {x.get('default')!r}, operations {x['operations']}, presence {presence}"
        for field, x in t["refs"].items():
            yield f"{name}.{field} -> {x['to']} {x['attr']} derived={x['derived']} {x['operations']} {x['presence']}"
            if x["to"] == name:
                yield f"{name}.{field} is symmetric"
        for field, x in t["children"].items():
            if name != "config-root":
                yield f"{name} has children {field} of {x['type']} derived={x['derived']}"
        for field, x in t["back_refs"].items():
            if x["from"] != name:
                yield f"{name} has back references {field} of {x['from']} {x['attr']} derived={x['derived']}"
    for name, t in complex_types.items():
        if t["used"]:
            yield f"{name} is a complex type"
            for m, x in t["fields"].items():
                presence = PRESENCE.get(x["presence"], x["presence"])
                yield f"{name}.{m}: {_type(x)} ({_base(x)}) list={x['list']} default {x.get('default')!r} {presence}"
    for name, t in simple_types.items():
        if t["used"]:
            pattern = name in ENFORCED_PATTERNS
            yield f"{name} is {t['base']} {t.get('enum', [])} {t.get('min')} {t.get('max')} pattern={pattern}"


def _type(x: Mapping[str, Any]) -> str:
    return str(x.get("simple_type", x["type"]))


def _base(x: Mapping[str, Any]) -> str | None:
    return None if x.get("complex") else str(x["type"])


def _item(x: Mapping[str, Any], complex_types: Mapping[str, Any]) -> str | None:
    return None if x["kind"] == "plain" else _type(complex_types[x["type"]]["fields"][x["wrapper_field"]])
