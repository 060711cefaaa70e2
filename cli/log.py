"""One line per change and per refusal, as text for people or JSON for machines, on standard error.

Only the commands configure logging; a program that embeds the server or the agent keeps its own.
"""

import logging
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor


class LogFormat(StrEnum):
    text = "text"
    json = "json"


class LogLevel(StrEnum):
    debug = "debug"
    info = "info"
    warning = "warning"
    error = "error"


FormatOption = Annotated[
    LogFormat, typer.Option(envvar="VAPORTRAIL_LOG_FORMAT", help="Of the lines on standard error.")
]
LevelOption = Annotated[
    LogLevel, typer.Option(envvar="VAPORTRAIL_LOG_LEVEL", case_sensitive=False, help="Nothing below it is logged.")
]


def configure(format: LogFormat, level: LogLevel) -> None:
    """For the whole process: structlog, and the standard library's loggers (uvicorn, asyncio) in the same shape."""
    import structlog  # only programs that run for long log

    number = getattr(logging, level.upper())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if format is LogFormat.json:
        render: Processor = structlog.processors.JSONRenderer(_to_json)
    else:  # logfmt: quotes what a client sent, so that a line stays one line
        render = structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"], bool_as_flag=False)
    last: list[Processor] = [structlog.processors.format_exc_info, render]
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(number, logging.WARNING), force=True)


def _to_json(event: "EventDict", **_: Any) -> str:
    return orjson.dumps(event, default=str).decode()
