"""An engine to run containers on: the one that is there, or Debian's own, started for the tests.

An engine counts as there if it answers; what is on the PATH proves nothing. That it runs a
container is seen once there is an image.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import httpx

from tests.containers.required import UnavailableError
from tests.support.workers import until

if TYPE_CHECKING:
    from collections.abc import Iterator

# Another client on the PATH may lack what plain BuildKit needs.
_CLIENT: Final = "/usr/bin/docker"
_DAEMON: Final = "dockerd"
_START_SECONDS: Final = 60.0


class NoEngineError(UnavailableError):
    """Nothing here can run a container; the sentence says why."""


@contextmanager
def engine() -> Iterator[str]:
    """The address of an engine that answers, as `DOCKER_HOST` has it.

    Raises:
        NoEngineError: There is none, and none can be started.
    """
    there = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    if answers(there):
        yield there
        return
    if os.geteuid() != 0 or shutil.which(_DAEMON) is None or not Path(_CLIENT).exists():
        raise NoEngineError(
            f"no engine answers at {there}, and only root with Debian's docker.io can start one"
        )
    directory = Path(tempfile.mkdtemp(prefix="model-agent-engine-"))
    try:
        with _started(directory) as address:
            yield address
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def _started(directory: Path) -> Iterator[str]:
    address = f"unix://{directory}/docker.sock"
    places = ("--data-root", "data", "--exec-root", "exec", "--pidfile", "pid")
    arguments = [word if word.startswith("--") else str(directory / word) for word in places]
    with (directory / "log").open("wb") as log:
        daemon = subprocess.Popen([_DAEMON, *arguments, "-H", address], stdout=log, stderr=log)
        try:
            with suppress(TimeoutError):
                until(lambda: answers(address) or daemon.poll() is not None, seconds=_START_SECONDS)
            if not answers(address):
                last = (directory / "log").read_text(errors="replace").strip()[-500:]
                raise NoEngineError(f"{_DAEMON} does not start: {last}")
            yield address
        finally:
            daemon.terminate()
            daemon.wait(30)


def answers(address: str) -> bool:
    """Whether an engine is at this address, now."""
    socket = address.removeprefix("unix://") if address.startswith("unix://") else None
    url = "http://engine" if socket else address.replace("tcp://", "http://", 1)
    try:
        with httpx.Client(transport=httpx.HTTPTransport(uds=socket), timeout=5) as asking:
            return asking.get(f"{url}/_ping").text == "OK"
    except httpx.HTTPError:
        return False


def want_running(address: str, image: str) -> None:
    """See that the engine runs containers: `true`, in this image.

    Raises:
        NoEngineError: It does not; what it said is in the sentence.
    """
    command = [client(), "--host", address, "run", "--rm", "--network=none", image, "true"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip()[-500:]
        raise NoEngineError(f"the engine at {address} does not run `true` in {image}: {said}")


def client() -> str:
    """The command-line client that builds."""
    return _CLIENT if Path(_CLIENT).exists() else "docker"
