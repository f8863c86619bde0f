"""Logging to stderr: events with fields, as JSON lines or as coloured text on a terminal."""

from __future__ import annotations

import logging
import os
import re
import sys
from typing import TYPE_CHECKING, cast

import structlog

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger, Processor

_SIGNATURE = re.compile(r"sig=[^&\s]+")


def configure(chosen: str | None) -> None:
    """Configure logging in the format `json` or `console`; None means console on a terminal."""
    console = chosen == "console" or (chosen is None and sys.stderr.isatty())
    coloured = sys.stderr.isatty() and not os.environ.get("NO_COLOR")  # no-color.org
    plain = structlog.dev.plain_traceback
    renderer: Processor = (
        structlog.dev.ConsoleRenderer(colors=coloured, exception_formatter=plain)
        if console
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *([] if console else [structlog.processors.format_exc_info]),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[_Relay()], level=logging.WARNING, force=True)


class _Relay(logging.Handler):
    """Writes the warnings of libraries to our log, one line each; repetitions are dropped.

    The identity library writes ten lines about what it tried, at every poll.
    """

    def __init__(self) -> None:
        super().__init__()
        self._last = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Log a record, without the signature of a SAS in a URL."""
        text = _SIGNATURE.sub("sig=...", " ".join(record.getMessage().split()))
        if text != self._last:
            self._last = text
            get().log(record.levelno, "library.message", library=record.name, message=text)


def get() -> FilteringBoundLogger:
    """Return the agent's logger."""
    return cast("FilteringBoundLogger", structlog.get_logger())
