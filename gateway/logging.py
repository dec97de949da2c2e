"""Logs: one JSON object a line, each with its request's id, none with personal data or a secret."""

from __future__ import annotations

import logging
import sys
from contextvars import ContextVar
from typing import Final

import structlog
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import EventDict, WrappedLogger

request_id: Final[ContextVar[str | None]] = ContextVar("request_id", default=None)
"""The id of the request that is being answered, None outside one."""

_SECRETS: Final = frozenset(
    {"authorization", "client_secret", "password", "phone", "card", "card_key", "token", "secret"}
)


def configure(*, level: int = logging.INFO) -> None:
    """Send everything that is logged, by libraries too, to standard output."""
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        _add_request_id,
        _hide_secrets,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False)),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _drop_colours,
                structlog.processors.JSONRenderer(ensure_ascii=False),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=level, force=True)
    for chatty in ("httpx", "httpcore", "alembic", "arq.worker"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def to_standard_error() -> None:
    """Until `configure`, what is logged is for whoever sits there: it stays out of a command's answer.

    A traceback is plain: structlog's own would show locals, and with them passwords and phones.
    """
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            _hide_secrets,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            ),
        ],
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
    )


def _add_request_id(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    found = request_id.get()
    if found is not None:
        event["request_id"] = found
    return event


def _drop_colours(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Uvicorn says the same twice, once for a terminal."""
    event.pop("color_message", None)
    return event


def _hide_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """A second wall: nobody means to log these."""
    for name in _SECRETS & event.keys():
        event[name] = "…"
    return event
