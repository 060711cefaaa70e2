"""The JSON schema of an object of a type, in the dialect of OpenAPI 3.0.

Each complex type is a component of its own name, so that one document of many types holds it once; references to other
objects share one component per kind of attribute. What Contrail's schema calls required, its server does not enforce,
and neither do we: it is told in `x-presence` and not in `required`, which names only what a request is refused without.

The schema describes what a client should send and what it will read. The server takes a little more: see
`schema.validation` for numbers sent as text and for empty values.
"""

from typing import Any, Literal

from schema.loader import ROOT, load
from schema.model import Member, Property, ReferenceField, ResourceType

Form = Literal["create", "update", "read"]
Json = dict[str, Any]

COMPONENTS = "#/components/schemas/"
TEXT: Json = {"type": "string"}
UUID: Json = {"type": "string", "format": "uuid"}
FQ_NAME: Json = {"type": "array", "items": TEXT, "minItems": 1}
NAME: Json = {"type": "string", "pattern": "^[^:\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f]+$"}
"""Of a new object: no colon, which joins names, and no character that XML cannot carry (contract 2.2)."""
HREF: Json = {"type": "string", "format": "uri", "readOnly": True}


def object_schema(resource_type: ResourceType, form: Form) -> tuple[Json, Json]:
    """The schema of an object, without the `{"<type>": ...}` around it, and the components it needs, by name.

    form: `create` and `update` are bodies of requests; `read` is the full object with children and back references.
    """
    components: Json = {}
    fields = _naming(resource_type, form)
    for item in resource_type.properties.values():
        fields[item.name] = _property(item, components)
    for reference in resource_type.references.values():
        links = _links(reference.attr, components)
        fields[reference.field] = {**(links if form == "read" else _nullable(links)), **_presence(reference)}
    if form == "read":
        for child in resource_type.children.values():
            fields[child.field] = {"type": "array", "items": _component("Child", components, _link())}
        for back_reference in resource_type.back_references.values():
            fields[back_reference.field] = _links(back_reference.attr, components)
    described = {"description": resource_type.description} if resource_type.description else {}
    required = _required(resource_type, form)
    schema = {"type": "object", **described, "properties": fields, **({"required": required} if required else {})}
    return schema, dict(sorted(components.items()))


def _naming(resource_type: ResourceType, form: Form) -> Json:
    """What an object is called and where it stands; an update cannot change it."""
    parent_types = [*resource_type.parents, *([ROOT] if resource_type.is_root else [])]
    parent_type = {"type": "string", "enum": parent_types}
    if form == "create":
        element = NAME if resource_type.parents else {**TEXT, "minLength": 1}  # a route-target's name has colons
        return {"fq_name": {**FQ_NAME, "items": element}, "parent_type": parent_type, "uuid": _nullable(UUID)}
    if form == "update":
        return {}
    names: Json = {"uuid": UUID, "fq_name": FQ_NAME, "name": TEXT, "href": HREF}
    if resource_type.parents:
        names |= {"parent_type": parent_type, "parent_uuid": UUID, "parent_href": HREF}
    return names


def _required(resource_type: ResourceType, form: Form) -> list[str]:
    if form == "read":
        return ["uuid", "fq_name"]
    if form == "update":
        return []
    needs_parent_type = len(resource_type.parents) > 1 and not resource_type.is_root
    mandatory = [name for name, item in resource_type.properties.items() if item.presence == "mandatory"]
    return ["fq_name", *(["parent_type"] if needs_parent_type else []), *mandatory]


def _property(item: Property, components: Json) -> Json:
    schema = _nullable(_type(item.type, components))
    if item.description:
        schema["description"] = item.description
    if item.kind != "plain":
        schema["x-collection"] = {"kind": item.kind, "wrapper": item.wrapper, **({"key": item.key} if item.key else {})}
    return {**schema, **_default(item), **_presence(item)}


def _member(member: Member, components: Json) -> Json:
    schema = _type(member.type, components)
    if member.is_list:
        schema = {"type": "array", "items": schema}
    return {**_nullable(schema), **_default(member), **_presence(member)}


def _default(item: Property | Member) -> Json:
    return {} if item.default is None else {"default": item.default}


def _presence(item: Property | Member | ReferenceField) -> Json:
    return {} if item.presence == "optional" else {"x-presence": item.presence}


def _type(type: str, components: Json) -> Json:
    """The schema of a named type: a reference to a component for a complex one, written out for a simple one."""
    model = load()
    complex_type = model.complex_types.get(type)
    if complex_type is not None:
        if type not in components:
            fields = components[type] = {"type": "object", "properties": {}, "additionalProperties": False}
            fields["properties"] = {name: _member(member, components) for name, member in complex_type.members.items()}
        return {"$ref": COMPONENTS + type}
    schema: Json = {"type": model.base(type)}
    simple = model.simple_types.get(type)
    if simple is not None:
        facts = {
            "enum": list(simple.enum) or None,
            "minimum": simple.minimum,
            "maximum": simple.maximum,
            "pattern": f"^({simple.pattern})$" if simple.pattern else None,
        }
        schema |= {key: value for key, value in facts.items() if value is not None}
    return schema


def _nullable(schema: Json) -> Json:
    """OpenAPI 3.0 ignores what stands beside a $ref, and wants null among the values of an enum."""
    if "$ref" in schema:
        return {"allOf": [schema], "nullable": True}
    if "enum" in schema:
        return {**schema, "enum": [*schema["enum"], None], "nullable": True}
    return {**schema, "nullable": True}


def _links(attr: str | None, components: Json) -> Json:
    """A list of references, or of back references."""
    if attr is None:
        item = _component("Reference", components, _link({"attr": {"type": "object", "nullable": True}}))
    else:
        schema = _link({"attr": _nullable(_type(attr, components))})
        item = _component(f"{attr}Reference", components, {**schema, "required": ["attr"]})
    return {"type": "array", "items": item}


def _link(more: Json | None = None) -> Json:
    """The other object, by name, uuid or both."""
    return {"type": "object", "properties": {"to": FQ_NAME, "uuid": UUID, "href": HREF, **(more or {})}}


def _component(name: str, components: Json, schema: Json) -> Json:
    components[name] = schema
    return {"$ref": COMPONENTS + name}
