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
    """A model at the commit that its revision is now, and the files that its loader needs."""

    ref: ModelRef
    files: tuple[Remote, ...]


class Request(msgspec.Struct, frozen=True):
    """Models to resolve, and resolved ones to fetch into a directory as a Hub cache.

    Attributes:
        seconds: How long the Hub may be silent.
        resolve: Models of which revision and files are wanted.
        fetch: Models of which the files are wanted.
        directory: Where to; what an earlier child left there is used.
        allow_pickle: Whether files that run code may be all there is.
    """

    seconds: float
    resolve: tuple[Wanted, ...] = ()
    fetch: tuple[Resolved, ...] = ()
    directory: str = ""
    allow_pickle: bool = False


class Note(msgspec.Struct, frozen=True, tag="note"):
    """Something for the log."""

    event: str
    fields: dict[str, Any]


class Fetched(msgspec.Struct, frozen=True, tag="fetched"):
    """A file is there, and is what the Hub says."""

    path: str


class Hashing(msgspec.Struct, frozen=True, tag="hashing"):
    """Bytes of a file that came are held to its digest, which takes long for gigabytes."""

    path: str


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """It did not work; `kind` names the error of `agent.errors`."""

    kind: str
    what: str
    remedy: str


class Started(msgspec.Struct, frozen=True, tag="started"):
    """The libraries are loaded: from now on it is the Hub that is waited for."""


class Done(msgspec.Struct, frozen=True, tag="done"):
    """All models are there."""


Event = Started | Resolved | Note | Fetched | Hashing | Failed | Done
