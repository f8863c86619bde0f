"""How a command ends: the exit codes, which scripts and Kubernetes go by."""

from __future__ import annotations

import signal
from enum import IntEnum
from typing import TYPE_CHECKING

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
