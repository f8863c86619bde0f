"""The child process that talks to the Hub: a request on stdin, an event a line on stdout.

It is a process of its own so that a Hub that never answers can be ended, whatever the library waits
for, and so that a sidecar never imports it.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from typing import TYPE_CHECKING

import msgspec

from agent.hub.protocol import Done, Failed, Request, Started
from agent.machine import children

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.hub.protocol import Event


def main() -> None:
    """Answer one request."""
    children.die_with_parent()
    request = msgspec.json.decode(sys.stdin.buffer.read(), type=Request)
    _prepare()
    out, lock = os.fdopen(os.dup(1), "wb"), threading.Lock()

    def tell(event: Event) -> None:
        with lock:
            out.write(msgspec.json.encode(event) + b"\n")
            out.flush()

    # Libraries print to stdout; nothing but events may stand there.
    with contextlib.redirect_stdout(sys.stderr):
        tell(_answer(request, tell))


def _prepare() -> None:
    """Set what huggingface_hub reads when it is imported."""
    os.environ |= {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}


def _answer(request: Request, tell: Callable[[Event], None]) -> Event:
    from agent.errors import AgentError  # noqa: PLC0415 - after the environment is set
    from agent.hub.fetch import Fetcher  # noqa: PLC0415

    try:
        fetcher = Fetcher(request, tell)
        tell(Started())
        for want in request.resolve:
            tell(fetcher.resolve(want))
        for resolved in request.fetch:
            fetcher.fetch(resolved)
    except AgentError as error:
        return Failed(type(error).__name__, error.what, error.remedy)
    return Done()


if __name__ == "__main__":
    main()
