"""A client generated from the OpenAPI documents works: a load balancer made, read, changed and deleted with it."""

import json
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

import schema
from cli.demo.programs import Program

GENERATOR = str(Path(sys.executable).with_name("openapi-python-client"))

USE = """
import sys
from balancing import Client
from balancing.api.loadbalancer import create_loadbalancer, delete_loadbalancer, list_loadbalancers, read_loadbalancer
from balancing.api.loadbalancer import update_loadbalancer
from balancing.api.loadbalancer_member import create_loadbalancer_member
from balancing.api.loadbalancer_pool import create_loadbalancer_pool, delete_loadbalancer_pool, read_loadbalancer_pool
from balancing import models as m

PROJECT = ["default-domain", "default-project"]
client = Client(base_url=sys.argv[1], raise_on_unexpected_status=True)

def body(display_name):
    wanted = m.LoadbalancerCreate.from_dict({
        "fq_name": [*PROJECT, "web"], "parent_type": "project", "display_name": display_name,
        "loadbalancer_provider": "native",
        "loadbalancer_properties": {"vip_address": "10.9.0.100", "admin_state": True},
    })
    return m.CreateLoadbalancerBody(loadbalancer=wanted)

rehearsed = create_loadbalancer.sync(client=client, body=body("Web"), dry_run=True)
assert isinstance(rehearsed, m.Rehearsal), rehearsed
assert [change.operation for change in rehearsed.changes] == ["create"]
created = create_loadbalancer.sync(client=client, body=body("Web"))
uuid = created.loadbalancer.uuid
assert created.loadbalancer.fq_name == [*PROJECT, "web"]

taken = create_loadbalancer.sync_detailed(client=client, body=body("Again"))
assert taken.status_code == 409 and "already exists with uuid" in taken.content.decode()

found = read_loadbalancer.sync(uuid=uuid, client=client).loadbalancer
assert found.loadbalancer_properties.vip_address == "10.9.0.100"
assert found.loadbalancer_properties.admin_state is True
version = read_loadbalancer.sync_detailed(uuid=uuid, client=client).headers["etag"]
change = m.UpdateLoadbalancerBody(loadbalancer=m.LoadbalancerUpdate(display_name="Shop"))
assert update_loadbalancer.sync(uuid=uuid, client=client, body=change, if_match=version).loadbalancer.uuid == uuid
stale = update_loadbalancer.sync_detailed(uuid=uuid, client=client, body=change, if_match=version)
assert stale.status_code == 412
assert read_loadbalancer.sync(uuid=uuid, client=client).loadbalancer.display_name == "Shop"

pool = create_loadbalancer_pool.sync(client=client, body=m.CreateLoadbalancerPoolBody.from_dict({
    "loadbalancer-pool": {"fq_name": [*PROJECT, "pool"], "parent_type": "project"}}))
pool_uuid = pool.loadbalancer_pool.uuid
create_loadbalancer_member.sync(client=client, body=m.CreateLoadbalancerMemberBody.from_dict({
    "loadbalancer-member": {"fq_name": [*PROJECT, "pool", "m"], "parent_type": "loadbalancer-pool",
                            "loadbalancer_member_properties": {"address": "10.9.0.7", "protocol_port": 80}}}))
(member,) = read_loadbalancer_pool.sync(uuid=pool_uuid, client=client).loadbalancer_pool.loadbalancer_members
assert member.to[-1] == "m"
assert delete_loadbalancer_pool.sync_detailed(uuid=pool_uuid, client=client).status_code == 409

listed = list_loadbalancers.sync(client=client, detail=True)
assert [one.loadbalancer.display_name for one in listed.loadbalancers] == ["Shop"]
assert list_loadbalancers.sync(client=client, count=True).loadbalancers.count == 1
assert delete_loadbalancer.sync_detailed(uuid=uuid, client=client).status_code == 200
assert read_loadbalancer.sync_detailed(uuid=uuid, client=client).status_code == 404
print("done")
"""


def generate(document: bytes, folder: Path, name: str) -> str:
    """Make a client package of a document; what the generator says."""
    (folder / f"{name}.json").write_bytes(document)
    (folder / "generator.json").write_text(json.dumps({"post_hooks": []}))
    done = subprocess.run(
        [GENERATOR, "generate", "--path", f"{name}.json", "--output-path", name, "--meta", "none",
         "--config", "generator.json"],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.slow
def test_clients_are_generated_and_one_is_used(database_url: str, tmp_path: Path) -> None:
    with Program("serve", "--port", "0", "--database", database_url) as server:
        url = server.wait_ready()
        for family in (*schema.load().families, "actions"):
            said = generate(httpx.get(f"{url}/openapi/{family}.json").content, tmp_path, family.replace("-", "_"))
            assert "warning" not in said.lower(), said
        (tmp_path / "load_balancing").rename(tmp_path / "balancing")
        done = subprocess.run(
            [sys.executable, "-c", USE, url], cwd=tmp_path, capture_output=True, text=True, check=False
        )
    assert done.stdout == "done\n", done.stderr
