"""Has Kubernetes told of what the log says, while a block runs."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from agent import logs
from agent.errors import ConfigError
from agent.sidecar.kubernetes import pod
from agent.sidecar.kubernetes.series import Series

if TYPE_CHECKING:
    from collections.abc import Iterator

    from structlog.typing import FilteringBoundLogger

    from agent.context import Context
    from agent.sidecar.kubernetes.courier import Courier

# SIGTERM ends the sidecar within 5 s, of which a step may have taken most.
_LAST_WORDS_SECONDS: Final = 0.5
_NAME: Final = 230  # an Event's may have 253


@contextmanager
def kubernetes(context: Context) -> Iterator[Context]:
    """The same context, whose log Kubernetes hears of, if the settings say so.

    Raises:
        ConfigError: The library, the pod's identity or its token is missing.
    """
    if not context.settings.kubernetes_events:
        yield context
        return
    own = pod.own(os.environ)
    courier = _courier(own, context.log)
    try:
        yield replace(context, log=logs.heard_by(courier.hear))
    finally:
        courier.close(_LAST_WORDS_SECONDS)


def _courier(own: pod.Pod, log: FilteringBoundLogger) -> Courier:
    try:
        from agent.sidecar.kubernetes import client  # noqa: PLC0415 - its library is an extra
        from agent.sidecar.kubernetes.courier import Courier  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"--kubernetes-events needs lightkube, which is not there ({error}).",
            remedy="Install it: pip install 'model-agent[kubernetes]'.",
        ) from None
    name = own.name[:_NAME].rstrip("-.")
    series = Series(lambda: f"{name}.{time.time_ns():x}")
    return Courier(lambda: client.connect(own), series, log)
