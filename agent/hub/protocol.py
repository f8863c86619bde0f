"""What an agent asks of the child process that talks to the Hub, and what it hears back."""

from __future__ import annotations

from typing import Any

import msgspec


class Ask(msgspec.Struct, frozen=True):
    """One model to fetch, as the catalog and FastEmbed's list have it.

    Attributes:
        name: As the worker asks for it.
        loader: Who reads it in the worker.
        repo: Where the Hub has it.
        revision: The pinned commit; None takes what `main` is now.
        model_file: FastEmbed's weights, None for other loaders.
        additional: Further files of FastEmbed's list.
        allow: Patterns of what to fetch, for the loader `huggingface`.
    """

    name: str
    loader: str
    repo: str
    revision: str | None = None
    model_file: str | None = None
    additional: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()


class Remote(msgspec.Struct, frozen=True):
    """One file as the Hub describes it: bytes, and its SHA-256 or, if it is small, git blob id."""

    path: str
    size: int
    sha256: str | None = None
    blob_id: str | None = None


class Resolved(msgspec.Struct, frozen=True, tag="resolved"):
    """A model's revision, and the files that its loader needs."""

    ask: Ask
    revision: str
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
    resolve: tuple[Ask, ...] = ()
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
