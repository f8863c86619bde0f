"""Reports the events of a sync to Kubernetes while a block runs."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from agent.errors import ConfigError
from agent.sidecar.kubernetes import pod
from agent.sidecar.kubernetes.series import Series

if TYPE_CHECKING:
    from collections.abc import Iterator

    from structlog.typing import FilteringBoundLogger

    from agent.sidecar.kubernetes.courier import Courier
    from agent.sync.listening import Listener

# SIGTERM ends the sidecar within 5 s, and a step may have taken most of that.
_LAST_WORDS_SECONDS: Final = 0.5
_NAME: Final = 230  # bytes of the pod's name in an Event's name, which may have 253


@contextmanager
def kubernetes(log: FilteringBoundLogger, *, wanted: bool) -> Iterator[tuple[Listener, ...]]:
    """Yield the listener that reports events to Kubernetes; nothing if `wanted` is false.

    Args:
        log: Receives what cannot be reported to Kubernetes.
        wanted: The setting `--kubernetes-events`.

    Raises:
        ConfigError: The library, the pod's identity or its token is missing.
    """
    if not wanted:
        yield ()
        return
    courier = _courier(pod.own(os.environ), log)
    try:
        yield (courier,)
    finally:
        courier.close(_LAST_WORDS_SECONDS)


def _courier(own: pod.Pod, log: FilteringBoundLogger) -> Courier:
    try:
        from agent.sidecar.kubernetes import client  # noqa: PLC0415 - its library is an extra
        from agent.sidecar.kubernetes.courier import Courier  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"--kubernetes-events needs lightkube, which is not installed ({error}).",
            remedy="Install it: pip install 'model-agent[kubernetes]'.",
        ) from None
    name = own.name[:_NAME].rstrip("-.")
    series = Series(lambda: f"{name}.{time.time_ns():x}")
    return Courier(lambda: client.connect(own), series, log)
