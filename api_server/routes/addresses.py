"""`/virtual-network/<uuid>/...`: addresses that no object has (contract 4.13)."""

from typing import Any

from fastapi import APIRouter
from orjson import dumps
from starlette.requests import Request
from starlette.responses import Response

from api_server.resources import reservations
from api_server.routes.middleware import Exchange
from api_server.routes.plans import Plan, write
from api_server.routes.service import Service, document, json, mapped, named, service

router = APIRouter()


@write(router, "/virtual-network/{uuid}/ip-alloc")
def ip_alloc(_: Service, current: Exchange, document: Any, uuid: str) -> Plan[list[str]]:
    asked = reservations.read_alloc(uuid, mapped(document or {}))
    change = current.change = {"action": "ip-alloc", "type": "virtual-network", "uuid": uuid}

    def answer(addresses: list[str]) -> bytes:
        change["count"] = str(len(addresses))
        return dumps({"ip_addr": addresses})

    return Plan(lambda tx: reservations.alloc(tx, asked), answer, uuid)


@write(router, "/virtual-network/{uuid}/ip-free")
def ip_free(_: Service, current: Exchange, document: Any, uuid: str) -> Plan[None]:
    addresses = reservations.read_free(mapped(document or {}))
    current.change = {"action": "ip-free", "type": "virtual-network", "uuid": uuid, "count": str(len(addresses))}
    return Plan(lambda tx: reservations.free(tx, uuid, addresses), subject=uuid)


@router.post("/virtual-network/{uuid}/subnet-ip-count")
async def subnet_ip_count(request: Request) -> Response:
    current, server, uuid = named(request, "subnet-ip-count"), service(request), request.path_params["uuid"]
    subnets = reservations.read_count(mapped(await document(request) or {}))
    counts = await server.read(current, lambda reader: reservations.count(reader, uuid, subnets))
    return json({"ip_count_list": counts})
