"""The expected failures, each with an exit code, a sentence and a remedy, in the codes' order.

Two families matter to the agent. An error that blames the release (`blames_release`) quarantines
it. After any other (the share is away, the disk is full, the worker is not up) it is tried again.
An attempt that was killed stays on record (not `ends_attempt`); two of those count as a failure.
"""

from __future__ import annotations

import signal
from enum import IntEnum
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from typing import Self

_SIGNALLED = 128  # a shell adds it to the number of the signal that ended a process


class Exit(IntEnum):
    """An exit code.

    Attributes:
        meaning: Its meaning, as a sentence of the reference.
        helps: The usual remedy; empty without one.
    """

    meaning: str
    helps: str

    def __new__(cls, code: int, meaning: str, helps: str = "") -> Self:
        """Make a code with its meaning and its usual remedy."""
        made = int.__new__(cls, code)
        made._value_, made.meaning, made.helps = code, meaning, helps
        return made

    DONE = 0, "It is done; `init` may have come up on another release than the marker's."
    INTERNAL = 1, "Internal error.", "Report it, with the log."
    CONFIG = (
        2,
        "Wrong usage, settings, catalog or volume set-up.",
        "The sentence names the flag, the variable or the path.",
    )
    UNREACHABLE = (
        3,
        "The share or the Hub does not answer, or does not let the agent in.",
        "The network, the mount, the credentials: `model-agent doctor` tells which.",
    )
    MISSING = (
        4,
        "A release or a model is missing or incomplete.",
        "Publish it; the sentence names the file.",
    )
    VERIFICATION = (
        5,
        "Bytes are not what the manifest or the file's format says, or a signature is not right.",
        "Publish it again under a new version.",
    )
    NO_SPACE = (
        6,
        "The store has no room for the release.",
        "A larger volume, and a higher `--store-limit` with it.",
    )
    WARMUP = (
        7,
        "A model cannot be warmed: the device, the load, the canary, a deadline.",
        "The sentence names the cause; `model-agent warm` shows more.",
    )
    RELOAD = 8, "The worker was not seen to serve the release in time.", "The worker's log."
    REFUSED = (
        9,
        "Refused: another embedding space, a pickle, a held lock, other bytes under a version.",
        "The sentence says what allows it.",
    )
    INTERRUPTED = (
        _SIGNALLED + signal.SIGINT,
        "Interrupted (SIGINT).",
        "Run it again: what is done so far is used.",
    )
    STOPPED = (
        _SIGNALLED + signal.SIGTERM,
        "Told to stop (SIGTERM); a sidecar that runs ends with 0 then.",
        "Run it again: what is done so far is used.",
    )


class AgentError(Exception):
    """An expected failure.

    Args:
        what: What happened and where, as one sentence.
        remedy: What the reader should do about it, as one sentence.

    Attributes:
        exit_code: The exit code of a command that it ends.
        blames_release: Whether it quarantines the release.
        ends_attempt: Whether the attempt that it ends counts as ended.
    """

    exit_code: ClassVar[Exit] = Exit.INTERNAL
    blames_release: ClassVar[bool] = False
    ends_attempt: ClassVar[bool] = True

    def __init__(self, what: str, *, remedy: str) -> None:
        self.what = _one_line(what)
        self.remedy = _one_line(remedy)
        super().__init__(f"{self.what} {self.remedy}")


class StoppedError(AgentError):
    """The agent was told to stop; the work so far is kept and used next time."""

    def __init__(self) -> None:
        super().__init__("Stopped.", remedy="What was staged is kept and used next time.")


class ConfigError(AgentError):
    """The command line, the environment, the catalog or the volume set-up is wrong."""

    exit_code = Exit.CONFIG


class MissingSecretError(ConfigError):
    """The directory of the storage secret has no credential in it."""


class UnreachableError(AgentError):
    """The share or the Hub does not answer; its content is not in doubt."""

    exit_code = Exit.UNREACHABLE


class ForbiddenError(UnreachableError):
    """A file or a directory of the share may not be read by this user."""


def forbidden(path: str, address: str) -> ForbiddenError:
    """Return the error for a directory of a share that this user may not list."""
    what = f"{path} on the share {address} may not be read by this user."
    return ForbiddenError(what, remedy="Let it be read by all: chmod -R a+rX.")


class ReleaseMissingError(AgentError):
    """A release or a model is not on the share, or not complete yet."""

    exit_code = Exit.MISSING


class VerificationError(AgentError):
    """Bytes are not those of the manifest, the signature, or the format of the file."""

    exit_code = Exit.VERIFICATION
    blames_release = True


class ShortFileError(VerificationError):
    """A file on the share is shorter than its manifest says: it may still be growing."""

    blames_release = False


class NoSpaceError(AgentError):
    """The store cannot take the release."""

    exit_code = Exit.NO_SPACE


class WarmupError(AgentError):
    """The model cannot be warmed, and the release is not to blame: the device, a deadline."""

    exit_code = Exit.WARMUP


class KilledError(WarmupError):
    """A signal ended the warm-up's process: most likely it had too little memory, or crashed."""

    ends_attempt = False


class ModelError(WarmupError):
    """The model does not load, or does not give the vectors of its canary."""

    blames_release = True


class ReloadError(AgentError):
    """The worker was not seen to serve the release in time."""

    exit_code = Exit.RELOAD


class ReloadFailedError(ReloadError):
    """The worker tried to load the release and said that it failed."""

    blames_release = True


class WorkerRestartedError(ReloadError):
    """The worker died while it loaded the release."""

    ends_attempt = False


class RefusedError(AgentError):
    """Doing it would be unsafe: a held lock, a pickle, another content under the same version."""

    exit_code = Exit.REFUSED


class PickleError(RefusedError):
    """The release holds files that run code when loaded, and `--allow-pickle` is not given."""


class NewSpaceError(RefusedError):
    """The release embeds into another space than the one that stored vectors are in."""

    blames_release = True

    def __init__(self, what: str) -> None:
        super().__init__(
            what, remedy="Promote it with --allow-new-space once stored vectors are recomputed."
        )


def _one_line(sentence: str) -> str:
    """Return a sentence in one line, without control characters, which may come from outside."""
    return "".join(c if c.isprintable() else "?" for c in " ".join(sentence.split()))
