"""Tells the worker to load a release, and waits until the worker reports that it serves it."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import aiohttp
import msgspec
from msgspec.structs import asdict

from agent.errors import ReloadError, ReloadFailedError, WorkerRestartedError
from agent.machine import threads
from agent.quantities import UNIX
from agent.release.layout import RELEASES
from agent.release.target import Target
from agent.sidecar import sighup
from agent.sidecar.reconcile import WorkerView

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from agent.settings import Settings

_ANSWER_SECONDS: Final = 5.0
_CONNECT_SECONDS: Final = 4.0
# A worker that answers nothing for so long counts as gone, not as busy.
_SILENT_SECONDS: Final = 3 * _ANSWER_SECONDS
_ANSWER_BYTES: Final = 256 * 1024
# Other workers may answer 200 instead of 202. Neither proves that the release is served.
_ACCEPTED: Final = range(200, 300)
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 0.5


class _Named(msgspec.Struct, frozen=True):
    version: str | None = None
    digest: str | None = None

    def target(self) -> Target | None:
        return Target(self.version, self.digest) if self.version and self.digest else None


class _Answer(msgspec.Struct, frozen=True):
    """The answer of `GET /model`; fields that another version adds are ignored."""

    state: str
    instance: str
    version: str | None = None
    digest: str | None = None
    reason: str | None = None
    target: _Named | None = None


@dataclass(frozen=True)
class Confirmed:
    """A reload that the worker confirmed, `seconds` after its 202."""

    seconds: float


@dataclass(frozen=True)
class Fault:
    """A `GET /model` without the answer of a worker.

    Attributes:
        reason: The manner of it, which goes on a sentence about the worker.
        listens: Whether something listens at the worker's address.
    """

    reason: str
    listens: bool = True


_ABSENT: Final = Fault("accepts no connections", listens=False)
_BUSY: Final = Fault("listens and accepts no connections")
_SILENT: Final = Fault("accepts connections and does not answer")
_BROKEN: Final = Fault("breaks connections off")
_FOREIGN: Final = Fault("does not answer GET /model as a worker does")
# Takes in how a `GET /model` ended: its fault, None for an answer, and the seconds that it took.
Looked: TypeAlias = "Callable[[Fault | None, float], None]"


def _nobody(_fault: Fault | None, _seconds: float) -> None:
    """Take in nothing."""


class WorkerClient:
    """The worker's admin listener.

    Args:
        url: `http://HOST:PORT` or `unix:///PATH`.
        timeout: The longest time in seconds from the worker's 202 until it serves the release.
        looked: Called after each `GET /model`.
    """

    def __init__(self, url: str, *, timeout: float, looked: Looked = _nobody) -> None:
        self._looked = looked
        self._socket = url.removeprefix(UNIX) if url.startswith(UNIX) else None
        self._base = "http://worker" if self._socket else url
        self._timeout = timeout
        self._listens = True

    async def view(self) -> WorkerView | None:
        """Return the worker's answer to `GET /model`; None if there is no such answer."""
        asked = time.monotonic()
        seen = await self._view()
        fault = seen if isinstance(seen, Fault) else None
        self._looked(fault, time.monotonic() - asked)
        return None if isinstance(seen, Fault) else seen

    async def _view(self) -> WorkerView | Fault:
        try:
            status, body = await self._call("GET", "/model")
            answer = msgspec.json.decode(body, type=_Answer)
            self._listens = True
        except aiohttp.ClientConnectorError:
            self._listens = False
            return _ABSENT
        except TimeoutError as error:
            return _BUSY if isinstance(error, aiohttp.ConnectionTimeoutError) else _SILENT
        except (aiohttp.ClientError, OSError):
            return _BROKEN
        except (ValueError, RecursionError):
            return _FOREIGN  # Malformed UTF-8 and deep nesting raise others than DecodeError.
        return _viewed(answer) if status == 200 else _FOREIGN  # noqa: PLR2004 - OK

    async def reload(self, target: Target) -> Confirmed:
        """Make the worker serve `target`.

        Raises:
            ReloadFailedError: The worker failed to load it.
            WorkerRestartedError: The worker died while it loaded, and may have started again.
            ReloadError: The worker does not answer, refused, or did not serve it in time.
        """
        before = await self.view()
        await self._ask(target)
        began = silent_since = time.monotonic()
        pause, last = _FIRST_PAUSE, before
        while (elapsed := time.monotonic() - began) < self._timeout:
            asked = time.monotonic()
            view = await self.view()
            if view:
                last, silent_since = view, math.inf
            else:
                silent_since = min(silent_since, asked)
            if view and self._confirms(view, target, before):
                return Confirmed(elapsed)
            await asyncio.sleep(pause)
            pause = min(_LONGEST_PAUSE, pause * 1.5)
        raise self._too_late(target, last, silent=time.monotonic() - silent_since)

    def _too_late(self, target: Target, last: WorkerView | None, *, silent: float) -> ReloadError:
        # A busy worker that still listens may miss an answer or two. That does not count as death.
        if not self._listens or silent > min(_SILENT_SECONDS, self._timeout / 2):
            return WorkerRestartedError(
                f"The worker took {target.version}, and does not answer any more.",
                remedy="Look for an out-of-memory kill; it needs room for two models.",
            )
        return ReloadError(
            f"The worker did not serve {target.version} within {self._timeout:g} s: "
            f"{_described(last)}.",
            remedy="Look at the worker's log; raise --reload-timeout if it is only slow.",
        )

    async def _ask(self, target: Target) -> None:
        request = asdict(target) | {"path": f"{RELEASES}/{target.version}"}
        try:
            status, body = await self._call("POST", "/reload", json=request)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            silent = f"nothing came within {_ANSWER_SECONDS:g} s"
            reason = silent if isinstance(error, TimeoutError) else error or type(error).__name__
            raise ReloadError(
                f"The worker's /reload does not answer: {reason}.",
                remedy="Check that the worker runs; it is asked again.",
            ) from None
        if status not in _ACCEPTED:
            text = body.decode(errors="replace")[:300]
            raise ReloadError(
                f"The worker answered /reload with {status}: {text}.",
                remedy="Check that it mounts the same store; it is asked again.",
            )

    async def _call(
        self, method: str, path: str, *, json: Mapping[str, Any] | None = None
    ) -> tuple[int, bytes]:
        # A new connection each time: the worker may have restarted in between.
        connector = aiohttp.UnixConnector(self._socket) if self._socket else aiohttp.TCPConnector()
        timeout = aiohttp.ClientTimeout(total=_ANSWER_SECONDS, sock_connect=_CONNECT_SECONDS)
        plain = {"Accept-Encoding": "identity"}
        async with (
            aiohttp.ClientSession(
                connector=connector, timeout=timeout, headers=plain, auto_decompress=False
            ) as session,
            session.request(method, self._base + path, json=json) as response,
        ):
            return response.status, await _bounded(response)

    def _confirms(self, view: WorkerView, target: Target, before: WorkerView | None) -> bool:
        """Return true if the worker serves `target` now.

        Raises:
            ReloadFailedError: The worker reports that it failed to load this target.
            WorkerRestartedError: The worker is another process than before.
            ReloadError: Somebody requested another release from the worker.
        """
        if view.serving == target and view.state == "ready":
            return True
        if before and view.instance != before.instance:
            raise WorkerRestartedError(
                f"The worker restarted while it loaded {target.version}.",
                remedy="Look for an out-of-memory kill; it needs room for two models.",
            )
        if view.target != target:
            return self._strayed(target)
        if view.state == "failed":
            raise ReloadFailedError(
                f"The worker failed to load {target.version}: {(view.reason or '').rstrip('.')}.",
                remedy="Publish a release that loads; the worker still serves the one before.",
            )
        return False

    def _strayed(self, target: Target) -> bool:
        raise ReloadError(
            f"The worker was asked for another release than {target.version} in the meantime, or "
            "forgot the request.",
            remedy="Let only one agent talk to it. Its target must be that of the last /reload.",
        )


def _viewed(answer: _Answer) -> WorkerView:
    return WorkerView(
        serving=_Named(answer.version, answer.digest).target(),
        target=answer.target.target() if answer.target else None,
        state=answer.state,
        instance=answer.instance,
        reason=answer.reason,
    )


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    """Return the body as it was sent.

    Raises:
        ClientPayloadError: It is longer than any answer of a worker.
    """
    try:
        await response.content.readexactly(_ANSWER_BYTES + 1)
    except asyncio.IncompleteReadError as ended:
        return ended.partial
    raise aiohttp.ClientPayloadError(f"its answer is over {_ANSWER_BYTES} bytes")


def _described(view: WorkerView | None) -> str:
    if view is None:
        return "it does not answer GET /model"
    serving = f"{view.serving.version} ({view.serving.digest[:12]})" if view.serving else "nothing"
    return f"it serves {serving} and is {view.state}"


class SignalledWorker(WorkerClient):
    """A worker that reads `current` again on SIGHUP; `GET /model` still tells what it serves.

    Args:
        url: As above; only `GET /model` is needed there.
        timeout: The longest time in seconds from the signal until it serves the release.
        process: The name of its process.
        looked: As above.
    """

    def __init__(self, url: str, *, timeout: float, process: str, looked: Looked = _nobody) -> None:
        super().__init__(url, timeout=timeout, looked=looked)
        self._process = process

    async def _ask(self, target: Target) -> None:  # noqa: ARG002 - the worker reads `current`
        await threads.run(sighup.send, self._process)

    def _strayed(self, target: Target) -> bool:  # noqa: ARG002 - as above
        return False  # A signal has no answer, so the worker may not have read `current` yet.


def worker_client(settings: Settings, looked: Looked = _nobody) -> WorkerClient:
    """Return the client of the worker that the settings describe; `looked` as above."""
    url, timeout = settings.reload_url, settings.reload_timeout
    if settings.reload_method == "signal":
        process = settings.reload_process or ""
        return SignalledWorker(url, timeout=timeout, process=process, looked=looked)
    return WorkerClient(url, timeout=timeout, looked=looked)
