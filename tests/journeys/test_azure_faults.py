"""Each fault of the service, at each step of each command: done, or a clear exit code.

Prints step, fault and outcome; with FAULT_TABLE=FILE the rows are appended to that file.
"""

from __future__ import annotations

import itertools
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.support.faulty import NEW, SHORT, Command, Parts, Stage
from tests.support.rest import rest_share

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


pytestmark = pytest.mark.slow

# A retry or two; and less than the 30 s for which a lock that was left behind is respected.
ONCE_SECONDS: Final = 20.0
# Two calls that try for 50 s, of which the last try may take 20 s more.
LASTING_SECONDS: Final = 150.0

_PUBLISH: Final = ("publish", "--from", "SOURCE", "--version", NEW)
PUBLISH: Final = Command("publish", _PUBLISH, adds=NEW)
RESUME: Final = Command("publish, resumed", _PUBLISH, left=True, locked=True, adds=NEW)
AGAIN: Final = Command("publish, again", _PUBLISH, releases=("v1", "v2", NEW), adds=NEW)
PROMOTE: Final = Command("promote", ("promote", "v2", "--verify"), promotes="v2")
RENAME: Final = Command("promote, renamed", ("promote", "v2"), marker=SHORT, promotes="v2")
INIT: Final = Command("init", ("init", "--no-warm"), marker=b"v1\n")
HELD: Final = Command("init, v1 in store", ("init", "--no-warm"), marker=b"v2\n", held=True)
VERIFY: Final = Command("verify", ("verify", "--on", "share"))
PRUNE: Final = Command(
    "prune", ("prune", "--on", "share"), releases=("v0", "v1", "v2"), removes="v0"
)

FAULTS: Final[dict[str, dict[str, Any]]] = {
    "429, Retry-After 1": {"kind": "throttled", "retry_after": 1},
    "429, Retry-After 120": {"kind": "throttled", "retry_after": 120},
    "503": {"kind": "busy"},
    "503, Retry-After 1": {"kind": "busy", "retry_after": 1},
    "500": {"kind": "timed_out"},
    "409 SharingViolation": {"kind": "sharing_violation"},
    "403": {"kind": "forbidden"},
    "reset": {"kind": "reset"},
    "reset, done": {"kind": "reset", "committed": True},
    "lost answer": {"kind": "lost"},
    "slow start": {"kind": "delay", "seconds": 0.5},
    "cut body": {"kind": "truncate"},
    "flipped bit": {"kind": "flip"},
    "flipped upload": {"kind": "flip", "upload": True},
    "slow body": {"kind": "throttle", "bytes_per_second": 4_000_000},
    "stalled 1 s": {"kind": "stall", "seconds": 1},
    "stalled": {"kind": "stall"},
}
_ANY: Final = (
    *("503", "403", "429, Retry-After 1", "503, Retry-After 1", "500"),
    *("409 SharingViolation", "reset", "slow start"),
)
_READ: Final = ("cut body", "flipped bit", "slow body", "stalled 1 s")
_WRITE: Final = ("lost answer", "reset, done")
_UPLOAD: Final = ("flipped upload", "slow body")


@dataclass(frozen=True)
class Step:
    """One request of a command.

    Attributes:
        command: The command.
        name: What it asks for.
        operation: The operation.
        path: Matches its path, below the prefix.
        nth: Which of such requests it is; often the first is refused for want of a directory.
        vital: Whether the command is not done without it.
    """

    command: Command
    name: str
    operation: str
    path: str
    nth: int = 1
    vital: bool = True

    @property
    def faults(self) -> tuple[str, ...]:
        """Which faults it may meet."""
        if self.operation in {"GetFile", "ListDirectoriesAndFiles", "ListRanges"}:
            return _ANY + _READ
        if self.operation == "GetFileProperties":
            return _ANY
        return _ANY + _WRITE + (_UPLOAD if self.operation == "PutRange" else ())


_LOCK: Final = rf"/\.locks/publish-{NEW}$"
_STAGED: Final = rf"/\.staging/{NEW}-[0-9a-f]+"
_MANIFEST: Final = "/manifest.json$"
_MODEL: Final = "/model.safetensors$"
_LIST: Final = "ListDirectoriesAndFiles"
_ALL: Final = "every request"
STEPS: Final = (
    Step(PUBLISH, "look at the lock", "GetFile", _LOCK),
    Step(PUBLISH, "make .locks", "CreateDirectory", r"/\.locks$"),
    Step(PUBLISH, "make the lock", "CreateFile", _LOCK, nth=2),
    Step(PUBLISH, "lease the lock", "LeaseFile", _LOCK),
    Step(PUBLISH, "sign the lock", "PutRange", _LOCK),
    Step(PUBLISH, "list releases", _LIST, "/releases$"),
    Step(PUBLISH, "list .staging", _LIST, r"/\.staging$"),
    Step(PUBLISH, "make a directory", "CreateDirectory", _STAGED, nth=2),
    Step(PUBLISH, "make the manifest", "CreateFile", _STAGED + _MANIFEST, nth=2),
    Step(PUBLISH, "write the manifest", "PutRange", _STAGED + _MANIFEST),
    Step(PUBLISH, "list what is staged", _LIST, _STAGED),
    Step(PUBLISH, "make a file", "CreateFile", _MODEL),
    Step(PUBLISH, "write a piece", "PutRange", _MODEL),
    Step(PUBLISH, "read back", "GetFile", _MODEL),
    Step(PUBLISH, "check the lock", "PutRange", _LOCK, nth=2),
    Step(PUBLISH, "make releases", "CreateDirectory", "/releases$"),
    Step(PUBLISH, "commit: rename", "RenameDirectory", f"/releases/{NEW}$"),
    Step(PUBLISH, "see who was first", "GetFile", f"/releases/{NEW}{_MANIFEST}"),
    Step(PUBLISH, "delete .staging", "DeleteDirectory", r"/\.staging$", vital=False),
    Step(PUBLISH, "delete the lock", "DeleteFile", _LOCK, vital=False),
    Step(PUBLISH, "delete .locks", "DeleteDirectory", r"/\.locks$", vital=False),
    Step(RESUME, "look at the lock", "GetFile", _LOCK),
    Step(RESUME, "take over the lease", "LeaseFile", _LOCK),
    Step(RESUME, "sign the lock", "PutRange", _LOCK),
    Step(RESUME, "list .staging", _LIST, r"/\.staging$"),
    Step(RESUME, "read the manifest", "GetFile", _STAGED + _MANIFEST),
    Step(RESUME, "claim: rename", "RenameDirectory", _STAGED),
    Step(RESUME, "list ranges", "ListRanges", _MODEL),
    Step(RESUME, "read a piece", "GetFile", _MODEL),
    Step(RESUME, "write a piece", "PutRange", _MODEL),
    Step(AGAIN, "list releases", _LIST, "/releases$"),
    Step(AGAIN, "read the manifest", "GetFile", f"/releases/{NEW}{_MANIFEST}"),
    Step(PROMOTE, "read the manifest", "GetFile", f"/v2{_MANIFEST}"),
    Step(PROMOTE, "list the release", _LIST, "/v2/fastembed$"),
    Step(PROMOTE, "read a chunk", "GetFile", "/v2/fastembed/model$"),
    Step(PROMOTE, "read the marker", "GetFile", "/VERSION$"),
    Step(PROMOTE, "read it again", "GetFile", "/VERSION$", nth=2),
    Step(PROMOTE, "read the old manifest", "GetFile", f"/v1{_MANIFEST}"),
    Step(PROMOTE, "size of the marker", "GetFileProperties", "/VERSION$"),
    Step(PROMOTE, "write the marker", "PutRange", "/VERSION$"),
    Step(RENAME, "make .staging", "CreateDirectory", r"/\.staging$"),
    Step(RENAME, "make the new marker", "CreateFile", r"/\.staging/VERSION-", nth=2),
    Step(RENAME, "write the new marker", "PutRange", r"/\.staging/VERSION-"),
    Step(RENAME, "rename it", "RenameFile", "/VERSION$"),
    Step(RENAME, "delete .staging", "DeleteDirectory", r"/\.staging$", vital=False),
    Step(INIT, "read the marker", "GetFile", "/VERSION$"),
    Step(INIT, "read it again", "GetFile", "/VERSION$", nth=2),
    Step(INIT, "read the manifest", "GetFile", f"/v1{_MANIFEST}"),
    Step(INIT, "read a chunk", "GetFile", "/v1/fastembed/model$"),
    Step(VERIFY, "read the marker", "GetFile", "/VERSION$"),
    Step(VERIFY, "read the manifest", "GetFile", f"/v1{_MANIFEST}"),
    Step(VERIFY, "read a chunk", "GetFile", "/v1/fastembed/model$"),
    Step(PRUNE, "read the marker", "GetFile", "/VERSION$"),
    Step(PRUNE, "list releases", _LIST, "/releases$"),
    Step(PRUNE, "read a manifest", "GetFile", f"/v0{_MANIFEST}"),
    Step(PRUNE, "make .staging", "CreateDirectory", r"/\.staging$"),
    Step(PRUNE, "rename the release", "RenameDirectory", r"/v0-[0-9a-f]+\.trash$"),
    Step(PRUNE, "list what is in it", _LIST, r"/v0-[0-9a-f]+\.trash$"),
    Step(PRUNE, "delete a file", "DeleteFile", "/fastembed/model$"),
    Step(PRUNE, "delete a directory", "DeleteDirectory", "/fastembed$"),
)
# Only lasting faults matter here: a store that holds a release needs no share.
_HELD: Final = (
    Step(HELD, "read the marker", "GetFile", "/VERSION$"),
    Step(HELD, "read the manifest", "GetFile", f"/v2{_MANIFEST}"),
    Step(HELD, "read a chunk", "GetFile", "/v2/fastembed/model$"),
)
_BY_NAME: Final = {(step.command.name, step.name): step for step in (*STEPS, *_HELD)}
_COMMANDS: Final = (PUBLISH, RESUME, AGAIN, PROMOTE, RENAME, INIT, HELD, VERIFY, PRUNE)

# What lasts, and the exit code; all but the first ones go on trying for 6 or 50 seconds.
LASTING: Final[tuple[tuple[Command, str, str, int], ...]] = (
    *(
        (c, _ALL, f, 0 if c is HELD else 3)
        for c in _COMMANDS
        for f in ("403", "429, Retry-After 120")
    ),
    (PUBLISH, "read back", "flipped bit", 5),
    (PROMOTE, "read a chunk", "flipped bit", 5),
    (INIT, "read a chunk", "flipped bit", 5),
    (HELD, "read a chunk", "flipped bit", 0),
    (VERIFY, "read a chunk", "flipped bit", 5),
    (HELD, "read the marker", "503", 0),
    (HELD, "read the manifest", "503", 0),
    (HELD, "read a chunk", "503", 0),
    (INIT, "read the marker", "reset", 3),
    (INIT, "read the manifest", "flipped bit", 3),
    (INIT, "read a chunk", "stalled", 3),
    (VERIFY, "read the marker", "flipped bit", 3),
    (VERIFY, "read a chunk", "cut body", 3),
    (PROMOTE, "read the marker", "stalled", 3),
    (PROMOTE, "read the old manifest", "503", 3),
    (PROMOTE, "write the marker", "lost answer", 0),
    (RENAME, "rename it", "lost answer", 0),
    (RENAME, "delete .staging", "503", 0),
    (AGAIN, "read the manifest", "cut body", 3),
    (PUBLISH, "list releases", "503", 3),
    (PUBLISH, "lease the lock", "503", 3),
    (PUBLISH, "sign the lock", "403", 3),
    (PUBLISH, "write a piece", "flipped upload", 3),
    (PUBLISH, "write a piece", "lost answer", 3),
    (PUBLISH, "read back", "reset", 3),
    (PUBLISH, "commit: rename", "409 SharingViolation", 3),
    (PUBLISH, "commit: rename", "lost answer", 3),
    (PUBLISH, "delete .staging", "409 SharingViolation", 0),
    (PRUNE, "rename the release", "409 SharingViolation", 3),
    (PRUNE, "delete a file", "503", 3),
)


@dataclass(frozen=True)
class Cell:
    """One line of the table."""

    step: Step
    fault: str
    lasting: bool
    expected: int

    @property
    def id(self) -> str:
        """Names the test."""
        words = f"{self.step.command.name}-{self.step.name}-{self.fault}"
        return words.replace(", ", ",").replace(" ", "_")


def _once() -> Iterator[Any]:
    """The cells of faults that pass: each operation meets each fault, and each step some fault.

    What a fault does to an operation is the same at each of its steps; what a step is to its
    command shows by any fault, and by being denied.
    """
    for step in STEPS:
        alike = [s for s in STEPS if s.operation == step.operation]
        at, faults = alike.index(step), step.faults
        for number, fault in enumerate(faults):
            met = number % len(alike) == at or at % len(faults) == number
            if fault != "403" and not met:
                continue
            # What is denied is not asked for again.
            cell = Cell(step, fault, lasting=False, expected=3 * (fault == "403" and step.vital))
            yield pytest.param(cell, id=cell.id)


def _lasting() -> Iterator[Any]:
    for command, name, fault, expected in LASTING:
        step = _BY_NAME.get((command.name, name)) or Step(command, name, "", "")
        cell = Cell(step, fault, lasting=True, expected=expected)
        yield pytest.param(cell, id=cell.id)


class Table:
    """What was found, for people: a line a cell, also in the file that FAULT_TABLE names."""

    def __init__(self) -> None:
        self.rows: list[str] = []
        self._file = os.environ.get("FAULT_TABLE")

    def add(self, cell: Cell, code: int, done: bool, seconds: float) -> None:
        """Add a line."""
        command = cell.step.command
        after = "done" if done and (command.changes or not code) else "as before"
        lasts = "lasting" if cell.lasting else "once"
        words = (command.name, cell.step.name, cell.fault, lasts, f"exit {code}", after)
        self.rows.append(f"| {' | '.join(words)} | {seconds:.1f} |\n")
        if self._file:
            with Path(self._file).open("a", encoding="utf-8") as file:
                file.write(self.rows[-1])


@pytest.fixture(scope="session")
def table() -> Iterator[Table]:
    """The table, printed at the end."""
    made = Table()
    yield made
    print("\n", *made.rows, sep="")


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Command], Stage]]:
    """Fills a prefix of its own for a command; all on one share."""
    home = tmp_path_factory.mktemp("faults")
    (home / "parts").mkdir()
    parts, numbers = Parts(home / "parts"), itertools.count()
    with rest_share(home / "root") as share:

        def stage(command: Command) -> Stage:
            directory = home / f"cell-{next(numbers)}"
            directory.mkdir()
            return Stage(share, parts, command, directory)

        yield stage


@pytest.mark.parametrize("cell", list(_once()))
def test_a_fault_that_passes(cell: Cell, make: Callable[[Command], Stage], table: Table) -> None:
    """After one fault the command is done; what is denied ends it, with exit 3 and a sentence."""
    _meet(cell, make(cell.step.command), table)


@pytest.mark.parametrize("cell", list(_lasting()))
def test_a_fault_that_lasts(cell: Cell, make: Callable[[Command], Stage], table: Table) -> None:
    """A fault that stays ends in the right exit code in bounded time, and a rerun completes."""
    _meet(cell, make(cell.step.command), table)


def _meet(cell: Cell, stage: Stage, table: Table) -> None:
    """Run the command into the fault, and once more without it if anything may be left."""
    double = stage.share.double
    _break(cell, stage)
    began = time.monotonic()
    try:
        done = stage.run(timeout=LASTING_SECONDS if cell.lasting else ONCE_SECONDS)
        hits = double.faults()[0]["hits"]
    finally:
        double.heal()
    table.add(cell, done.code, stage.is_done, time.monotonic() - began)
    stage.assert_spoken(done)
    stage.assert_good()
    assert hits >= 1
    assert done.code == cell.expected, done.lines
    if done.code or not cell.step.vital:
        again = stage.run(timeout=ONCE_SECONDS)
        assert again.code == 0, again.sentence
        stage.assert_good()
    assert stage.is_done
    stage.assert_tidy(empty=cell.expected != 0 or not cell.step.vital)


def _break(cell: Cell, stage: Stage) -> None:
    """Put the fault in force."""
    step = cell.step
    count = None if cell.lasting else 1
    rule = FAULTS[cell.fault] | {"count": count, "nth": step.nth, "path": step.path}
    stage.share.double.fault(**rule, **({"operation": step.operation} if step.operation else {}))
