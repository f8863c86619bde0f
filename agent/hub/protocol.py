"""Messages between an agent and the child process that talks to the Hub."""

from __future__ import annotations

from typing import Any

import msgspec

from agent.release.model_ref import ModelRef  # noqa: TC001 - msgspec reads the annotations
from agent.release.wanted import Wanted  # noqa: TC001


class Remote(msgspec.Struct, frozen=True):
    """One file as the Hub describes it: bytes, and its SHA-256 or, if it is small, git blob id."""

    path: str
    size: int
    sha256: str | None = None
    blob_id: str | None = None


class Resolved(msgspec.Struct, frozen=True, tag="resolved"):
    """A model at its present commit, and the files that its loader needs."""

    ref: ModelRef
    files: tuple[Remote, ...]


class Request(msgspec.Struct, frozen=True):
    """Models to resolve, and resolved ones to fetch into a directory as a Hub cache.

    Attributes:
        seconds: The seconds that the Hub may be silent.
        resolve: Models to look up: revision and files.
        fetch: Models to fetch.
        directory: The target; files that an earlier child left there are used.
        allow_pickle: Whether a model may come as pickles alone, which run code when loaded.
    """

    seconds: float
    resolve: tuple[Wanted, ...] = ()
    fetch: tuple[Resolved, ...] = ()
    directory: str = ""
    allow_pickle: bool = False


class Note(msgspec.Struct, frozen=True, tag="note"):
    """An event for the log."""

    event: str
    fields: dict[str, Any]


class Fetched(msgspec.Struct, frozen=True, tag="fetched"):
    """A file is fetched, and has the Hub's digest."""

    path: str


class Hashing(msgspec.Struct, frozen=True, tag="hashing"):
    """A file is being hashed, which takes long for gigabytes."""

    path: str


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The request failed; `kind` is the name of an error of `agent.errors`."""

    kind: str
    what: str
    remedy: str


class Started(msgspec.Struct, frozen=True, tag="started"):
    """The libraries are loaded: from now on the child waits for the Hub."""


class Done(msgspec.Struct, frozen=True, tag="done"):
    """All models are there."""


Event = Started | Resolved | Note | Fetched | Hashing | Failed | Done
