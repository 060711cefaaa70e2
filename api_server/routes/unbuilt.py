"""Contrail's actions that this server does not do: linked, because its client looks for the links, checked as Contrail
checks them, and then answered with 501 and the reason. They change nothing.
"""

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api_server.errors import BadRequest, NotFound, NotImplementedHere
from api_server.resources.body import names
from api_server.resources.drafts import REASON, check_draft, read_draft
from api_server.resources.permissions import is_uuid
from api_server.routes.middleware import Exchange
from api_server.routes.service import Service, document, mapped, named, service
from api_server.store.reader import Reader
from schema.quoting import quote

router = APIRouter()

JOBS = "no fabric jobs are run: there is no job manager"
BROKER = "messages of clients are not passed on to RabbitMQ: publish them there"

UNBUILT = {
    "abort-job": JOBS,
    "amqp-publish": BROKER,
    "amqp-request": BROKER,
    "execute-job": JOBS,
    "hbs-get": "host based services (Contrail Security) are kept as objects only: no manifest is made of them",
    "security-policy-draft": REASON,
}
"""Reasons by action, which is the last element of its path, too."""

NO_HBS = "HBS fqname or uuid (hbs_fqname/hbs_uuid) required for hbs daemonset get"
NO_TEMPLATE = "Either job_template_id or job_template_fq_name required in request"


async def opened(request: Request) -> tuple[Exchange, dict[str, Any], Service]:
    """No body is an empty one."""
    return named(request, "unbuilt"), mapped(await document(request) or {}), service(request)


def refuse(request: Request, action: str) -> Response:
    raise NotImplementedHere(f"{request.url.path}: {UNBUILT[action]}")


def check_object(reader: Reader, kind: str, uuid: Any, fq_name: Any) -> None:
    """NotFound unless one of this type is there, by uuid or else by name."""
    if uuid:
        found = reader.identify(uuid) if isinstance(uuid, str) else None
        if found is None or found[0] != kind:
            raise NotFound(f"Unknown id: {quote(uuid)}")
    else:
        name = names(fq_name)
        if name is None or reader.find(kind, name) is None:
            raise NotFound(f"Name {quote(fq_name)} not found")


def check_config_node(reader: Reader) -> None:
    if not reader.count("config-node"):
        raise NotFound("Config-Node list empty")


@router.post("/execute-job")
async def execute_job(request: Request) -> Response:
    current, body, server = await opened(request)
    uuid, fq_name, params = body.get("job_template_id"), body.get("job_template_fq_name"), body.get("params")
    if not (uuid or fq_name):
        raise BadRequest(NO_TEMPLATE)
    if uuid and not is_uuid(uuid):
        raise BadRequest(f"Invalid job-template uuid type {quote(uuid)}. uuid type required")
    if params is not None and not isinstance(params, dict):
        raise BadRequest(f"malformed request param: params, expects an object: {quote(params)}")
    devices = (params or {}).get("device_list") or []
    if not isinstance(devices, list):
        raise BadRequest("malformed request param: device_list, expects list")
    for device in devices:
        if not isinstance(device, str):
            raise BadRequest(
                "malformed request param: device_list, expects list of string device_uuids, "
                f"found device_uuid {quote(device)}"
            )
        if not is_uuid(device):
            raise BadRequest(f"Invalid device uuid type {quote(device)}. uuid type required")

    def check(reader: Reader) -> None:
        check_object(reader, "job-template", uuid, fq_name)
        check_config_node(reader)

    await server.read(current, check)
    return refuse(request, "execute-job")


@router.post("/abort-job")
async def abort_job(request: Request) -> Response:
    current, _, server = await opened(request)
    await server.read(current, check_config_node)
    return refuse(request, "abort-job")


@router.post("/amqp-publish")
@router.post("/amqp-request")
async def amqp(request: Request) -> Response:
    _, body, _ = await opened(request)
    action = request.url.path.strip("/")
    for name in ("exchange", "exchange_type"):
        if not isinstance(body.get(name), str) or not body[name]:
            raise BadRequest(f"Error: {action} needs '{name}', a text: {quote(body.get(name))}")
    return refuse(request, action)


@router.post("/hbs-get")
async def hbs_get(request: Request) -> Response:
    current, body, server = await opened(request)
    uuid, fq_name = body.get("hbs_uuid"), body.get("hbs_fq_name")
    if not uuid and not fq_name:
        raise BadRequest(NO_HBS)
    await server.read(current, lambda reader: check_object(reader, "host-based-service", uuid, fq_name))
    return refuse(request, "hbs-get")


@router.post("/security-policy-draft")
async def security_policy_draft(request: Request) -> Response:
    current, body, server = await opened(request)
    scope, action = read_draft(body)
    await server.read(current, lambda reader: check_draft(reader, scope, action))
    return refuse(request, "security-policy-draft")
