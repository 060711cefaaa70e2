"""What can be set about the server: flags of `vaportrail serve`, or `VAPORTRAIL_*` in the environment; flags win."""

import os
from pathlib import Path
from typing import Annotated

from pydantic import Field, Json, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from api_server.notify.address import addresses
from api_server.resources import quotas


def default_database() -> str:
    """One SQLite file in the user's state folder (XDG base directory specification), wherever the server is started."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state"
    return f"sqlite:///{Path(state) / 'vaportrail' / 'vaportrail.db'}"


class Settings(BaseSettings):
    """Read once, at start; immutable from then on. ValidationError if a value makes no sense."""

    model_config = SettingsConfigDict(env_prefix="VAPORTRAIL_", frozen=True, extra="ignore")

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(
        8082, ge=0, le=65535, description="TCP port to listen on; 0 takes a free one. 8082 is Contrail's."
    )
    database: str = Field(
        default_factory=default_database,
        description="sqlite:///FILE or postgresql://USER@HOST/NAME. Made and migrated at start.",
    )
    workers: int = Field(1, ge=1, le=256, description="Processes that serve; more than one needs PostgreSQL.")
    native_driver: bool = Field(
        True, description="Link load balancers to their back-ends here; off for those who run their own svc-monitor."
    )
    no_auth: bool = Field(
        False, description="Serve on an address beyond the loopback although nobody has to say who they are."
    )
    allow_host: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="More names of this server in the Host header, comma separated; * for any."
    )
    max_request_size: int = Field(1_024_000, gt=0, description="Bytes of one request body; larger ones get 413.")
    max_wait: float = Field(0.5, gt=0, description="Seconds that a request waits for its turn; then it gets 503.")
    client_timeout: float = Field(
        30, gt=0, description="Seconds for a client to send a request, or to take in any of an answer."
    )
    max_connections: int = Field(4_096, gt=0, description="Connections at a time; one more gets 503.")
    max_watchers: int = Field(1_000, ge=0, description="Concurrent GET /watch; one more gets 503.")
    watch_keepalive: float = Field(60, gt=0, description="Seconds of silence after which a watcher is sent a comment.")
    keep_changes: int = Field(
        100_000, ge=0, description="Revisions that the change log keeps, for watchers that resume and for GET /changes."
    )
    keep_hours: float = Field(72, ge=0, description="Age in hours after which it forgets them, however few there are.")
    quota: Json[dict[str, int]] = Field(
        default_factory=dict,
        validate_default=False,
        description='What a project may hold if it does not say so itself: {"virtual_network": 10, "defaults": 100}.',
    )

    notify: str = Field(
        "",
        repr=False,
        description="amqp://USER:PASSWORD@HOST:PORT/VHOST (or amqps): publish every change there, as Contrail does; "
        "several brokers, separated by commas, are tried in turn.",
    )

    @field_validator("notify")
    @classmethod
    def _brokers(cls, notify: str) -> str:
        return ",".join(addresses(notify))

    @field_validator("workers")
    @classmethod
    def _shared(cls, workers: int, info: ValidationInfo) -> int:
        if workers > 1 and info.data.get("database", "").startswith("sqlite"):
            raise ValueError("SQLite has one server process; several need --database postgresql://USER@HOST/NAME")
        return workers

    @field_validator("quota")
    @classmethod
    def _known(cls, quota: dict[str, int]) -> dict[str, int]:
        if unknown := quota.keys() - quotas.members():
            raise ValueError(f"{', '.join(sorted(unknown))}: nothing that can be limited")
        return quota

    @field_validator("allow_host", mode="before")
    @classmethod
    def _comma_separated(cls, value: object) -> object:
        return [name for name in value.split(",") if name] if isinstance(value, str) else value
