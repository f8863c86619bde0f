"""Gets a release into the store: staged, adopted from a hand-made tree, or made from the Hub."""

from __future__ import annotations

from dataclasses import dataclass, replace
from time import monotonic as clock
from typing import TYPE_CHECKING

from agent.files import durable, progress
from agent.files.durable import writing
from agent.files.progress import ByteCounter
from agent.release import pickles
from agent.release.layout import RELEASES
from agent.store import room, stage
from agent.store.repair import Original
from agent.store.stage import Staged
from agent.sync.locate import Catalogued, Found, HandMadeTree, Locator

if TYPE_CHECKING:
    import threading
    from collections.abc import Sequence

    from structlog.typing import FilteringBoundLogger

    from agent.context import Context
    from agent.publish.source import TreeSource
    from agent.publish.workshop import Workshop
    from agent.release.manifest import Manifest
    from agent.store.store import Store
    from agent.warmup.warmer import Warmer


@dataclass(frozen=True)
class Acquirer:
    """Brings releases from one share into one store.

    What makes releases is imported when a release is made: most sidecars never make one, and would
    hold 25 modules for nothing.

    Attributes:
        context: The run, for what makes releases.
        warmer: Runs the models of a tree.
        locator: Finds releases on the share.
        store: The store.
        stop: Ends it early.
        log: Told of progress.
    """

    context: Context
    warmer: Warmer
    locator: Locator
    store: Store
    stop: threading.Event
    log: FilteringBoundLogger

    @classmethod
    def of(cls, context: Context, stop: threading.Event) -> Acquirer:
        """Return the one of a run, which `stop` ends early."""
        return cls(
            context=context,
            warmer=replace(context.warmer, stop=stop),
            locator=Locator.of(context),
            store=context.store,
            stop=stop,
            log=context.log,
        )

    def acquire(
        self,
        version: str,
        found: Found,
        *,
        spare: Sequence[str] = (),
        moved: ByteCounter | None = None,
    ) -> Staged:
        """Bring `version` into the store, verified. The caller holds the store's lock.

        Args:
            version: The release.
            found: How the share has it.
            spare: As for `stage.stage`.
            moved: Counts bytes as they come, but for those that are made from the Hub.

        Raises:
            RefusedError: It holds pickles.
            VerificationError: It is not signed as the settings want it.
            AgentError: As `stage.stage`, `Builder.build` and the functions of `populate` raise.
        """
        moved = moved or ByteCounter()
        if isinstance(found, HandMadeTree):
            return self._adopt(version, found, moved, spare)
        if isinstance(found, Catalogued):
            if not found.to_share:
                self.locator.policy.hold_unsigned(version)
                return self._make_in_store(version, spare)
            found = self._make_on_share()
        return self._stage(found, moved, spare)

    def original(self, release: Manifest) -> Original:
        """Return where the share has the files of a release of the store.

        Raises:
            AgentError: As `Locator.locate` raises, or the hand-made tree is no longer complete.
        """
        share = self.locator.reader.share
        paths = {f.path: f"{RELEASES}/{release.version}/{f.path}" for f in release.files}
        if release.version in self.locator.reader.names(RELEASES):
            return Original(share, paths)
        found = self.locator.locate(release.version)
        if not isinstance(found, HandMadeTree):
            return Original(share, paths)
        plan = self._source(found).plan()
        origins = {path: plan.origin(path) or origin for path, origin in paths.items()}
        return Original(share, origins, plan.written)

    def _workshop(self) -> Workshop:
        from agent.publish.workshop import Workshop  # noqa: PLC0415 - see the class

        return Workshop.of(self.context, stop=self.stop)

    def _make_in_store(self, version: str, spare: Sequence[str]) -> Staged:
        from agent.publish import populate  # noqa: PLC0415 - see the class

        return populate.into_store(self._workshop(), self.store, version, spare)

    def _make_on_share(self) -> Manifest:
        from agent.publish import populate  # noqa: PLC0415 - see the class
        from agent.publish.publisher import Publisher  # noqa: PLC0415

        publisher = Publisher.of(self.context, stop=self.stop)
        return populate.into_share(self._workshop(), publisher)

    def _source(self, tree: HandMadeTree) -> TreeSource:
        from agent.publish.source import TreeSource  # noqa: PLC0415 - see the class

        return TreeSource.of(self.locator.reader.share, self.context.contents, tree.suffix)

    def _stage(self, release: Manifest, moved: ByteCounter, spare: Sequence[str]) -> Staged:
        allowed = self.context.settings.allow_pickle
        pickles.refuse(release.version, release.pickles, allowed=allowed)
        signature = self.locator.policy.hold_on(self.locator.reader, release)
        with progress.shown(self.log, "stage", moved, release.size):
            return stage.stage(
                self.locator.reader.share,
                release,
                self.store,
                stop=self.stop,
                spare=spare,
                moved=moved,
                signature=signature,
            )

    def _adopt(
        self, version: str, tree: HandMadeTree, moved: ByteCounter, spare: Sequence[str]
    ) -> Staged:
        from agent.publish.build import Builder  # noqa: PLC0415 - see the class

        store, source = self.store, self._source(tree)
        plan = source.plan()
        directory = store.staging / version
        store.sweep()
        total = source.size(plan)
        room.require_and_make(store, total + stage.OVERHEAD_BYTES, spare)
        with writing(version):
            durable.make_directory(directory)
        expected = self.context.contents.expected
        builder = Builder(self.warmer, self.stop, moved.add, expected=expected)
        with progress.shown(self.log, "adopt", moved, total):
            began = clock()
            release = builder.build(source, plan, version, directory)
        for path in release.pickles:
            self.log.warning(
                "release.pickle", path=path, reason="it is what the worker loads today"
            )
        stage.publish(store, release, directory)
        absent = tuple(want.ref for want in plan.absent)
        return Staged(release, dict(moved.by_source), clock() - began, absent)
