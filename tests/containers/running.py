"""Runs containers as a pod runs them: no root, nothing to gain, nothing to write but volumes."""

from __future__ import annotations

import base64
import secrets
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from testcontainers.core.container import DockerContainer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import docker
    from docker.models.containers import Container

# What Pod Security "restricted" asks for, and a root file system that is read-only.
RESTRICTED: Final[Mapping[str, Any]] = {
    "read_only": True,
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
    "tmpfs": {"/tmp": "mode=1777"},
}
UID: Final = 65532
# What every agent here is told.
SETTINGS: Final = {"MODEL_AGENT_DEVICE": "cpu", "MODEL_AGENT_POLL_INTERVAL": "1s"}
KEY: Final = base64.b64encode(b"a key of the double's account").decode()
_END_SECONDS: Final = 120
_WAIT: Final = "import signal; signal.pause()"


@dataclass(frozen=True)
class Ended:
    """How a container ended: its exit status, stdout, and stderr.

    An engine keeps the two in no order between them.
    """

    code: int
    printed: str
    errors: str

    @property
    def said(self) -> str:
        """All of it."""
        return self.printed + self.errors

    @property
    def sentence(self) -> str:
        """The last line on stderr: what failed and what to do."""
        return self.errors.strip().rpartition("\n")[2]


def run(client: docker.DockerClient, image: str, *command: str, **options: Any) -> Ended:
    """Run a container to its end."""
    container: Container = client.containers.run(
        image, list(command), detach=True, **(dict(RESTRICTED) | options)
    )
    try:
        code = container.wait(timeout=_END_SECONDS)["StatusCode"]
        streams = (container.logs(stdout=out, stderr=not out) for out in (True, False))
        return Ended(code, *(stream.decode(errors="replace") for stream in streams))
    finally:
        container.remove(force=True)


def service(image: str, *command: str, **options: Any) -> DockerContainer:
    """A container that serves while it is entered."""
    wanted = dict(RESTRICTED) | options
    made = DockerContainer(image)
    made.with_command(list(command))
    # What it takes by other names than the engine's own interface.
    made.tmpfs = wanted.pop("tmpfs")
    made.volumes = wanted.pop("volumes", {})
    made.env = wanted.pop("environment", {})
    made.with_exposed_ports(*wanted.pop("ports", ()))
    return made.with_kwargs(**wanted)


def told(client: docker.DockerClient, image: str) -> dict[str, str]:
    """The variables that an image sets."""
    return dict(each.split("=", 1) for each in client.images.get(image).attrs["Config"]["Env"])


@contextmanager
def volume(client: docker.DockerClient, image: str, size: str) -> Iterator[str]:
    """An empty volume in memory of so many bytes that belongs to a user, as an emptyDir does.

    A container of `image` holds it: with the last one that does, what is in memory goes.
    """
    made = client.volumes.create(
        name=f"model-agent-{secrets.token_hex(4)}",
        driver_opts={
            "type": "tmpfs",
            "device": "tmpfs",
            "o": f"size={size},uid={UID},gid=0,mode=2775",
        },
    )
    held = {made.name: {"bind": "/mnt/models", "mode": "ro"}}
    holder = client.containers.run(
        image, ["-c", _WAIT], entrypoint="python", init=True, detach=True, volumes=held
    )
    try:
        yield made.name
    finally:
        holder.remove(force=True)
        made.remove(force=True)
