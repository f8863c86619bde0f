"""Brings releases to a share: each is there complete and verified, or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec import structs

from agent.errors import RefusedError, ReleaseMissingError
from agent.publish import adopted
from agent.publish.sign import Signing
from agent.release import canary
from agent.release.layout import RELEASES
from agent.shares import lock
from agent.shares.base import Publication

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from structlog.typing import FilteringBoundLogger

    from agent.context import Context
    from agent.publish.makers import Maker
    from agent.release.manifest import Manifest, Model
    from agent.shares.base import Share
    from agent.shares.reader import ShareReader


@dataclass(frozen=True)
class Published:
    """A release that is out: on the share, or in a bundle.

    Attributes:
        manifest: Its manifest.
        new: Whether it was not there before.
        signed: Whether it has a signature that it had not before.
    """

    manifest: Manifest
    new: bool
    signed: bool = False

    def lines(self, verb: str, key: Path | None) -> Iterator[str]:
        """Yield what people are told: its size, its signature, its digest, and what was not run.

        Args:
            verb: What became of it.
            key: The private key.
        """
        release = self.manifest
        yield f"{verb} {release.version}: {len(release.files)} files, {release.size} bytes."
        if self.signed:
            yield f"signed with {key}"
        yield f"digest {release.digest}"
        yield from canary.missing(release)


@dataclass(frozen=True)
class Publisher:
    """Brings releases to one share.

    Attributes:
        share: The share.
        reader: The same share, read within deadlines.
        signing: Signs releases, and holds them to the rule about signatures.
        lock_timeout: Seconds to wait for another publisher of the same version.
        stop: Ends it early.
        log: Told of a wait for another publisher.
    """

    share: Share
    reader: ShareReader
    signing: Signing
    lock_timeout: float
    stop: threading.Event
    log: FilteringBoundLogger

    @classmethod
    def of(cls, context: Context, *, stop: threading.Event | None = None) -> Publisher:
        """Return the one of a run, which `stop` ends early; else the run's own flag.

        Raises:
            ConfigError: No share is set.
        """
        return cls(
            share=context.share,
            reader=context.reader,
            signing=Signing.of(context),
            lock_timeout=context.settings.lock_timeout,
            stop=stop or context.stop,
            log=context.log,
        )

    def publish(self, maker: Maker, *, take_any: bool = False) -> Published:
        """Publish what `maker` makes, or find that the share has it.

        Args:
            maker: Makes the release.
            take_any: Whether a release of the version is taken as it is, whatever it holds.

        Raises:
            RefusedError: The version exists with other content, or another publisher has the lock.
            VerificationError: The rule about signatures would not let the release in.
            UnreachableError: The share does not answer.
            AgentError: As `Maker.make` raises.
        """
        try:
            published = self._find_or_make(maker, take_any=take_any)
        except _AlreadyThereError as found:
            signed = self._sign(found.there, found.made)
            published = Published(found.there, new=False, signed=signed)
        maker.done()
        return published

    def _find_or_make(self, maker: Maker, *, take_any: bool) -> Published:
        file = self.share.lock_file(f"publish-{maker.version}")
        made: list[Manifest] = []

        def make(target: Path) -> Manifest:
            made.append(self._make(maker, target))
            return made[0]

        with lock.held(file, timeout=self.lock_timeout, stop=self.stop, log=self.log) as held:
            if there := self._find(maker, take_any=take_any):
                return Published(there, new=False)
            self.share.publish(Publication(maker.version, make, held.check, self.stop))
        return Published(made[0], new=True, signed=self.signing.key is not None)

    def _find(self, maker: Maker, *, take_any: bool) -> Manifest | None:
        """Return the release on the share, if there is no need to make it."""
        there = self._released(maker.version)
        if there is None:
            return None
        # The publisher of it may have been killed right after.
        self.share.tidy()
        # What is signed was made here: that the share has something like it is not enough.
        if self.signing.is_due(self.reader, there) or not (take_any or maker.would_make(there)):
            return None
        self.signing.policy.hold_on(self.reader, there)
        return there

    def _make(self, maker: Maker, target: Path) -> Manifest:
        """Make the release, signed, in an empty directory.

        Raises:
            _AlreadyThereError: The share has this very release.
        """
        release = maker.make(target)
        there = self._released(maker.version)
        if there is not None:
            # A signature vouches for all files, so none may be there that were not made here.
            signs = self.signing.is_due(self.reader, there)
            _stop_if_there(there, release, exactly=signs)
        self.signing.put(release, target)
        adopted.name_tree(self.reader, self.share)
        return release

    def _released(self, version: str) -> Manifest | None:
        """Return the complete release of this version on the share, if there is one."""
        names = self.reader.names(RELEASES)
        if version not in names:
            _refuse_other_case(version, names)
            return None
        try:
            return self.reader.manifest(version)
        except ReleaseMissingError:
            raise RefusedError(
                f"{RELEASES}/{version} is on the share without a manifest.",
                remedy="Remove that directory, or publish under another version.",
            ) from None

    def _sign(self, there: Manifest, made: Manifest) -> bool:
        """Sign a release that is on the share if that is due; return whether it was.

        Raises:
            RefusedError: Its canaries are not those of the models here; all else was compared
                already.
        """
        due = self.signing.is_due(self.reader, there)
        if due:
            _require_same_canaries(there, made)
            self.signing.add(self.share, there)
        self.signing.policy.hold_on(self.reader, there)
        return due


def _refuse_other_case(version: str, names: Sequence[str]) -> None:
    """Refuse a version that another differs from by case only: on Azure Files they are one."""
    other = next((name for name in names if name.casefold() == version.casefold()), None)
    if other:
        raise RefusedError(
            f"The share has a release {other}, and {version} would be the same name to Azure Files "
            "and to Windows.",
            remedy="Publish under another version.",
        )


class _AlreadyThereError(Exception):
    """The share has the very release that was made: it need not be sent."""

    def __init__(self, there: Manifest, made: Manifest) -> None:
        super().__init__(there.version)
        self.there = there
        self.made = made


def _stop_if_there(there: Manifest, made: Manifest, *, exactly: bool) -> None:
    """Raise: the release is there already, or another one of its version.

    It may have more files than were made, unless it must be `exactly` the same: agents before 0.2
    took files along that no loader reads.
    """
    if _is_same(there, made) and (not exactly or len(made.files) == len(there.files)):
        raise _AlreadyThereError(there, made)
    raise RefusedError(
        f"The release {there.version} is on the share with other content.",
        remedy="Releases never change: publish under another version.",
    )


def _require_same_canaries(there: Manifest, made: Manifest) -> None:
    for one, other in zip(there.models, made.models, strict=True):
        if not (canary.agree(one.canary, other.canary) or _was_not_run(one, other)):
            raise RefusedError(
                f"The release {there.version} is on the share with another canary for "
                f"{one.name} than is made here, so it is not signed.",
                remedy="Publish under another version.",
            )


def _was_not_run(there: Model, made: Model) -> bool:
    """Return whether a model differs only in that it could not be run where it was published.

    FastEmbed's can be run everywhere: if one has no canary, somebody took it away.
    """
    without = structs.replace(made, canary=None)
    return there == without and there.loader != "fastembed"


def _is_same(there: Manifest, made: Manifest) -> bool:
    """Return whether two releases have the same content; the first may have more files.

    Canaries are left out: the same files give vectors that differ in the last digits between kinds
    of CPU, so that another machine could never find its own release published already.
    """
    if there.chunk_size != made.chunk_size or not {*made.files} <= {*there.files}:
        return False
    pairs = zip(there.models, made.models, strict=False)
    return len(there.models) == len(made.models) and all(_are_alike(*pair) for pair in pairs)


def _are_alike(there: Model, made: Model) -> bool:
    """Return whether two entries are of one model of the same files.

    The dimension and length of one that was not run are only what its files seemed to say.
    """
    if there.canary is None or made.canary is None:
        return there.ref == made.ref
    return structs.replace(there, canary=None) == structs.replace(made, canary=None)
