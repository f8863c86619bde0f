"""What can go wrong, each with its exit code, its sentence and its remedy.

Two families matter to the agent: the *release is bad* (`blames_release`), which quarantines it, and
everything else (the share is away, the disk is full, the worker is not up), which is tried again.
What kills its process leaves the attempt on record (`ends_attempt`); two of those are a failure.
"""

from __future__ import annotations

import signal
from enum import IntEnum
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from typing import Self

_SIGNALLED = 128  # what a shell adds to the number of the signal that ended a process


class Exit(IntEnum):
    """An exit code.

    Attributes:
        meaning: What it stands for.
        helps: What usually helps.
    """

    meaning: str
    helps: str

    def __new__(cls, code: int, meaning: str, helps: str = "") -> Self:
        """A code with what there is to say about it."""
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
    """

    exit_code: ClassVar[Exit] = Exit.INTERNAL
    blames_release: ClassVar[bool] = False
    ends_attempt: ClassVar[bool] = True

    def __init__(self, what: str, *, remedy: str) -> None:
        self.what = _one_line(what)
        self.remedy = _one_line(remedy)
        super().__init__(f"{self.what} {self.remedy}")


class StoppedError(AgentError):
    """The work was told to stop; what was done so far is kept and used next time."""

    def __init__(self) -> None:
        super().__init__("Stopped.", remedy="What was staged is kept and used next time.")


class ConfigError(AgentError):
    """The command line, the environment, the catalog or the volume set-up is wrong."""

    exit_code = Exit.CONFIG


class UnreachableError(AgentError):
    """The share does not answer; its content is not in doubt."""

    exit_code = Exit.UNREACHABLE


class ReleaseMissingError(AgentError):
    """What was asked for is not on the share, or not complete yet."""

    exit_code = Exit.MISSING


class VerificationError(AgentError):
    """Bytes are not what the manifest, the signature, or the format of the file says."""

    exit_code = Exit.VERIFICATION
    blames_release = True


class ShortFileError(VerificationError):
    """A file on the share ends before the size that the manifest says: it may still be growing."""

    blames_release = False


class NoSpaceError(AgentError):
    """The store cannot take the release."""

    exit_code = Exit.NO_SPACE


class WarmupError(AgentError):
    """The model cannot be warmed for a reason that is not the release's: the device, a deadline."""

    exit_code = Exit.WARMUP


class KilledError(WarmupError):
    """A signal ended the warm-up's process: most likely for want of memory, or it crashed."""

    ends_attempt = False


class ModelError(WarmupError):
    """The model itself does not load, or does not give the vectors of its canary."""

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
    """The release holds files that run code; `--allow-pickle` says that this is wanted."""


class NewSpaceError(RefusedError):
    """The release embeds into another space than the one that stored vectors are in."""

    blames_release = True

    def __init__(self, what: str) -> None:
        super().__init__(
            what, remedy="Promote it with --allow-new-space once stored vectors were made anew."
        )


def _one_line(sentence: str) -> str:
    """`sentence` in one line and without control characters, which may come from outside."""
    return "".join(c if c.isprintable() else "?" for c in " ".join(sentence.split()))
