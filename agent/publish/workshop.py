"""Makes releases of trees: builds them, measures their models, refuses what pods would refuse."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from agent.files import disk, progress
from agent.files.progress import ByteCounter
from agent.models.contents import Contents
from agent.publish.build import Builder
from agent.release import pickles

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterable
    from pathlib import Path

    from structlog.typing import FilteringBoundLogger

    from agent.context import Context
    from agent.hub.hub import Hub
    from agent.publish.build import Numbers
    from agent.publish.source import TreeSource
    from agent.release.adoption.plan import Plan
    from agent.release.manifest import Manifest
    from agent.release.model_ref import ModelRef
    from agent.release.wanted import Wanted
    from agent.warmup.warmer import Warmer


@dataclass(frozen=True)
class Workshop:
    """All that releases are made with.

    Attributes:
        contents: The models that a release must have.
        hub: The Hub, for those that are fetched.
        warmer: Measures models on the CPU.
        on_gpu: Whether a release must pass its canaries on a GPU as well.
        optimize: Whether ONNX weights become external data; None for what the catalog says.
        allow_pickle: Whether a release may hold files that run code when they are loaded.
        stop: Ends it early.
        log: Told of progress, and of models that could not be run.
    """

    contents: Contents
    hub: Hub
    warmer: Warmer
    on_gpu: bool
    optimize: bool | None
    allow_pickle: bool
    stop: threading.Event
    log: FilteringBoundLogger

    @classmethod
    def of(
        cls,
        context: Context,
        *,
        stop: threading.Event | None = None,
        catalog: Path | None = None,
    ) -> Workshop:
        """Return the one of a run.

        Args:
            context: The run.
            stop: Ends it early; else the run's own flag does.
            catalog: Another catalog than the run's.
        """
        s, stop = context.settings, stop or context.stop
        return cls(
            contents=Contents(catalog) if catalog else context.contents,
            hub=replace(context.hub, stop=stop),
            warmer=replace(context.warmer, stop=stop),
            on_gpu=s.device.startswith("cuda"),
            optimize=s.optimize,
            allow_pickle=s.allow_pickle,
            stop=stop,
            log=context.log,
        )

    @property
    def wanted(self) -> tuple[Wanted, ...]:
        """The catalog's models, optimised as `optimize` says if it says anything.

        Raises:
            ConfigError: As for `Contents.wanted`.
        """
        wanted, chosen = self.contents.wanted, self.optimize
        if chosen is None:
            return wanted
        return tuple(replace(w, optimize=chosen and w.model_file is not None) for w in wanted)

    def build(
        self,
        tree: TreeSource,
        plan: Plan,
        version: str,
        target: Path,
        *,
        expected: Numbers | None = None,
    ) -> Manifest:
        """Make the release of a tree in an empty directory, and return its manifest.

        Args:
            tree: The tree.
            plan: The files of it that make the release.
            version: The version of the release.
            target: The directory.
            expected: Published numbers that models must give.

        Raises:
            PickleError: It would hold pickles, and none are allowed; nothing is copied as a rule.
            NoSpaceError: There is no room for it.
            AgentError: As `Builder.build` and `approve` raise.
        """
        self.refuse_pickles(version, plan.files)
        moved, expected, total = ByteCounter(), expected or {}, tree.size(plan)
        disk.require(target, total)
        builder = Builder(
            self.warmer,
            self.stop,
            moved.add,
            optimize=True,
            expected=expected,
            not_run=partial(self._say_not_run, expected),
        )
        with progress.shown(self.log, "build", moved, total):
            release = builder.build(tree, plan, version, target)
        self.refuse_pickles(version, release.pickles)  # an ONNX graph may name one as its weights
        self.approve(release, target)
        return release

    def refuse_pickles(self, version: str, paths: Iterable[str]) -> None:
        """Refuse a release by the paths of its files, before anything is copied or measured.

        Raises:
            PickleError: There are pickles among them, and none are allowed.
        """
        pickles.refuse(version, paths, allowed=self.allow_pickle)

    def approve(self, release: Manifest, directory: Path) -> None:
        """Hold a new release to its canaries on a GPU, if it must pass there.

        Raises:
            AgentError: As `Warmer.warm` raises.
        """
        if self.on_gpu:
            self.warmer.warm(release, directory)

    def _say_not_run(self, expected: Numbers, ref: ModelRef, why: str) -> None:
        unchecked = (ref.name, ref.loader) in expected
        reason = f"{why}; its published numbers are not checked" if unchecked else why
        self.log.warning("model.not_run", model=ref.name, loader=ref.loader, reason=reason)
