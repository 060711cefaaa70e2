"""One line per change and per refusal, as text for people or JSON for machines, on standard error.

Only the command configures logging; a program that embeds the application keeps its own.
"""

import logging
import sys
from typing import Any

import orjson
import structlog
from structlog.typing import EventDict, Processor

from api_server.settings import LogFormat, LogLevel


def to_json(event: EventDict, **_: Any) -> str:
    return orjson.dumps(event, default=str).decode()


def configure(format: LogFormat, level: LogLevel) -> None:
    """For the whole process: structlog, and the standard library's loggers (uvicorn, asyncio) in the same shape."""
    number = getattr(logging, level.upper())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if format is LogFormat.json:
        render: Processor = structlog.processors.JSONRenderer(to_json)
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
