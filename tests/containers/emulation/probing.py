"""Probes, as a kubelet makes them: a period, a timeout, so many failures in a row."""

from __future__ import annotations

import socket
import time
from functools import partial
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.containers.emulation.spec import Container, Probe

_OK = range(200, 400)


class Probing:
    """One probe of one run of a container."""

    def __init__(self, probe: Probe, container: Container, address: str) -> None:
        self._probe = probe
        self._asked = asking(probe, container, address)
        self._due = time.monotonic() + probe.initial_delay_seconds
        self._failures = 0
        self.passed = False

    def look(self) -> None:
        """Ask, if it is time to."""
        if time.monotonic() < self._due:
            return
        self._due = time.monotonic() + self._probe.period_seconds
        if self._asked():
            self._failures, self.passed = 0, True
            return
        self._failures += 1
        if self.failed:
            self.passed = False

    @property
    def failed(self) -> bool:
        """Whether it failed as often in a row as counts."""
        return self._failures >= self._probe.failure_threshold


def asking(probe: Probe, container: Container, address: str) -> Callable[[], bool]:
    """What asks once, and says whether the answer is a good one.

    Raises:
        ValueError: it is a probe of no known sort.
        StopIteration: the container has no port of the name.
    """
    seconds = probe.timeout_seconds
    if probe.http_get:
        port = _port(container, probe.http_get.port)
        return partial(_answers, f"http://{address}:{port}{probe.http_get.path}", seconds)
    if probe.tcp_socket:
        return partial(_connects, address, _port(container, probe.tcp_socket.port), seconds)
    raise ValueError(f"a probe of {container.name} asks nothing")


def _port(container: Container, wanted: int | str) -> int:
    if isinstance(wanted, int):
        return wanted
    return next(each.container_port for each in container.ports if each.name == wanted)


def _answers(url: str, seconds: float) -> bool:
    with httpx.Client(timeout=seconds, trust_env=False) as client:
        try:
            return client.get(url).status_code in _OK
        except httpx.HTTPError:
            return False


def _connects(address: str, port: int, seconds: float) -> bool:
    try:
        socket.create_connection((address, port), seconds).close()
    except OSError:
        return False
    return True
