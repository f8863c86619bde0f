"""A share, a store and a worker as they really are, whatever an agent believes."""

from __future__ import annotations

import itertools
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from agent.errors import AgentError, ReleaseMissingError, UnreachableError, VerificationError
from agent.release.target import Target
from agent.sidecar.reconcile import WorkerView

if TYPE_CHECKING:
    from agent.settings import Method

# What is wrong with a release: of one that is unreadable it is the manifest, one that is foreign
# embeds into another space.
Fault = Literal[
    "",
    "unreadable",
    "corrupt",
    "incomplete",
    "unloadable",
    "kills its checker",
    "refused by the worker",
    "kills the worker",
    "foreign",
]

_COUNT: Final = itertools.count(1)


def new(what: str) -> str:
    """A name that nothing else has."""
    return f"{what} {next(_COUNT)}"


@dataclass(frozen=True)
class Release:
    """A release, and what is wrong with it."""

    version: str
    fault: Fault = ""
    digest: str = field(default_factory=lambda: new("digest"))

    @property
    def target(self) -> Target:
        """What a worker is asked for."""
        return Target(self.version, self.digest)

    @property
    def serves(self) -> bool:
        """Whether a worker can serve it, given that its space is right."""
        return self.fault in {"", "foreign"}

    def is_apart(self, other: Release | None) -> bool:
        """Whether it embeds into another space."""
        return other is not None and (self.fault == "foreign") != (other.fault == "foreign")


@dataclass
class Share:
    """What operators write, and whether it can be reached."""

    releases: dict[str, Release] = field(default_factory=dict)
    marker: bytes | None = None
    up: bool = True

    def read_marker(self) -> bytes | None:
        """The marker's bytes, if there is a marker.

        Raises:
            UnreachableError: The share is away.
        """
        if not self.up:
            raise UnreachableError("The share is away.", remedy="Wait.")
        return self.marker

    def manifest(self, version: str) -> Release:
        """What a release's manifest says.

        Raises:
            UnreachableError: The share is away.
            ReleaseMissingError: There is no such release.
            VerificationError: It is not to be understood.
        """
        self.read_marker()
        if version not in self.releases:
            raise ReleaseMissingError(f"{version} is missing.", remedy="Publish it.")
        if self.releases[version].fault == "unreadable":
            raise VerificationError(f"{version} is refused.", remedy="Publish it.")
        return self.releases[version]

    def digest(self, version: str) -> str | None:
        """What names a release's content, if that can be known."""
        with suppress(AgentError):
            return self.manifest(version).digest
        return None


@dataclass
class Store:
    """What the agent brought: by version, the last one staged at the end.

    Attributes:
        current: What `current` leads to.
        passed: The digests of what once passed a check.
        rotten: The versions that have other bytes by now.
    """

    held: dict[str, Release] = field(default_factory=dict)
    current: str | None = None
    passed: set[str] = field(default_factory=set)
    rotten: set[str] = field(default_factory=set)

    def put(self, release: Release) -> None:
        """Have a release, in the place of one of that name."""
        self.drop(release.version)
        self.held[release.version] = release

    def drop(self, version: str) -> None:
        """Have a release no longer."""
        self.held.pop(version, None)
        self.rotten.discard(version)

    def digest(self, version: str) -> str | None:
        """What names a release's content, if it is held."""
        return self.held[version].digest if version in self.held else None

    @property
    def active(self) -> Release | None:
        """The release that a worker finds at its start."""
        return self.held[self.current] if self.current else None


class Worker:
    """It serves one release and loads another beside it; the first it finds under `current`.

    Args:
        store: Where its releases are.
        method: How it is told.
    """

    def __init__(self, store: Store, method: Method) -> None:
        self._store = store
        self._method = method
        self.silent = False
        self.die()

    def die(self) -> None:
        """End; nobody answers until it is started again."""
        self.alive = False
        self.serving: Target | None = None
        self.target: Target | None = None
        self.state = "failed"
        self.serves_rot = False

    def start(self, *, tells: bool = True) -> None:
        """Load what `current` leads to; some workers tell that they were asked for it."""
        self.die()
        self.alive, self.silent, self.instance = True, False, new("instance")
        if active := self._store.active:
            self.target = active.target
            self.finish()
            self.target = self.target if tells else None

    def ask(self, target: Target) -> None:
        """Begin to load a release: what is asked for, or what `current` leads to now."""
        active = self._store.active
        self.target = active.target if self._method == "signal" and active else target
        self.state = "loading"

    def finish(self) -> None:
        """End the load that is under way, in the way that its release ends it."""
        release = self._store.held.get(self.target.version) if self.target else None
        if release is None or release.target != self.target:
            self.state = "failed"
        elif release.fault == "kills the worker":
            self.die()
        elif release.fault == "refused by the worker":
            self.state = "failed"
        else:
            self.serving, self.state = self.target, "ready"
            self.serves_rot = release.version in self._store.rotten

    def is_at_rest_on(self, target: Target) -> bool:
        """Whether it serves that, and was last asked for it, if for anything."""
        return self.serving == target and self.target in {None, target} and self.state == "ready"

    def view(self) -> WorkerView | None:
        """What it says of itself, if it answers."""
        if self.silent or not self.alive:
            return None
        return WorkerView(self.serving, self.target, self.state, self.instance)
