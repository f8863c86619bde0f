"""A worker's models that load, fail and wait as a test says."""

from __future__ import annotations

import itertools
import threading
import weakref
from typing import TYPE_CHECKING

from agent.worker import Holder, NotServingError, from_request
from tests.support.stores import bare_release
from tests.support.workers import until

if TYPE_CHECKING:
    from pathlib import Path

    from agent.worker import Release
    from agent.worker.replacing import Swap

PATIENCE = 300.0


class Model:
    """A model that knows which release it was made from."""

    def __init__(self, release: Release) -> None:
        self.version = release.version


class Loader:
    """Loads models; a load of a version in `held` goes on when the test calls `let`.

    A check is held in the same way, by the name `check VERSION`.
    """

    def __init__(self, *held: str) -> None:
        self.begun: list[str] = []
        self.checked: list[str] = []
        self.closed: list[str] = []
        self.faults: dict[str, BaseException] = {}
        self.unfit: set[str] = set()
        self.models: weakref.WeakSet[Model] = weakref.WeakSet()
        self.most_models = 0
        self.most_loads = 0
        # Made before any thread asks for one: two that made it would wait at two gates.
        self._gates = {name: threading.Semaphore(0) for name in held}
        self._loads = itertools.count(1)
        self._ended = 0

    def load(self, release: Release) -> Model:
        """Load, or fail as `faults` says."""
        self.most_loads = max(self.most_loads, next(self._loads) - self._ended)
        self.begun.append(release.version)
        try:
            self._hold(release.version)
            if fault := self.faults.get(release.version):
                raise fault
            model = Model(release)
            self.models.add(model)
            self.most_models = max(self.most_models, len(self.models))
            return model
        finally:
            self._ended += 1

    def check(self, model: Model, release: Release) -> None:
        """Refuse a model of a version in `unfit`."""
        assert model.version == release.version
        self.checked.append(release.version)
        self._hold(f"check {release.version}")
        if release.version in self.unfit:
            raise ValueError(f"{release.version} is\nnot fit")

    def close(self, model: Model) -> None:
        """Note which model ends."""
        self.closed.append(model.version)

    def let(self, version: str) -> None:
        """Let one load of a held version go on."""
        self._gates[version].release()

    def holder(self, swap: Swap = "beside", *, crowded: bool = False) -> Holder[Model]:
        """A holder that loads in this way; where it is `crowded`, memory holds one model only."""

        def fits(release: Release) -> str | None:
            return f"{release.version} needs 2 MiB and 1 MiB is free." if crowded else None

        return Holder(self.load, self.check, close=self.close, swap=swap, fits=fits)

    def _hold(self, name: str) -> None:
        if name in self._gates:
            assert self._gates[name].acquire(timeout=PATIENCE)


def open_release(root: Path, version: str, content: str = "") -> Release:
    """Stage a release of a version, with the content that is given, and open it."""
    digest = bare_release(root, version, content).digest
    return from_request(root, version=version, path=f"releases/{version}", digest=digest)


def serving(holder: Holder[Model]) -> str | None:
    """The version that answers now; None if none does."""
    try:
        with holder.lease() as (model, release):
            assert model.version == release.version
            return model.version
    except NotServingError:
        return None


def settle(holder: Holder[Model], version: str, state: str = "ready") -> None:
    """Wait until `version` is the target and in `state`."""

    def settled() -> bool:
        status = holder.status()
        return status.target is not None and (status.target.version, status.state) == (
            version,
            state,
        )

    until(settled, seconds=PATIENCE)


def started(loader: Loader, first: Release) -> Holder[Model]:
    """A holder that serves `first`."""
    holder = loader.holder()
    holder.reload(first)
    settle(holder, first.version)
    return holder
