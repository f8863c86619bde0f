"""Makes a release in an empty directory: out of a tree, of the Hub's models, or of a bundle."""

from __future__ import annotations

import secrets
import shutil
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from agent.errors import ConfigError, RefusedError
from agent.files import disk, durable, progress, scratch, verify
from agent.files.copy import Copier, Job
from agent.files.durable import writing
from agent.files.progress import ByteCounter
from agent.hub.hub import Hub
from agent.publish.build import Builder
from agent.publish.source import TreeSource
from agent.release import layout, manifest
from agent.release.version import is_version
from agent.shares.directory import DirectoryShare
from agent.signing import stored

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from agent.context import Context
    from agent.hub.protocol import Resolved
    from agent.publish.build import Numbers
    from agent.release.adoption import Plan
    from agent.release.catalog import Catalog
    from agent.release.manifest import Manifest
    from agent.release.wanted import Wanted


class Maker(Protocol):
    """What makes a release."""

    @property
    def version(self) -> str:
        """What it is called."""
        ...

    def make(self, target: Path) -> Manifest:
        """Fill an empty directory with it, its manifest last, and give the manifest."""
        ...

    def done(self) -> None:
        """It is out: what was kept for another try may go."""
        ...


def of_directory(context: Context, directory: Path, version: str | None) -> Maker:
    """What makes a release of a tree, or of a bundle: a directory that has a manifest.

    Raises:
        ConfigError: It is no directory, or the version is missing or not the bundle's.
        VerificationError: The bundle's manifest is refused.
        ReleaseMissingError: The tree lacks a file.
        RefusedError: There are two trees, and either could be meant.
    """
    path = directory / manifest.FILE_NAME
    try:
        there = directory.is_dir()
        data = path.read_bytes() if path.is_file() else None
    except OSError as error:
        what = f"{directory} cannot be read: {error.strerror}."
        raise ConfigError(what, remedy="Run as a user who may, or check --from.") from None
    if not there:
        raise ConfigError(f"{directory} is not a directory.", remedy="Check --from.")
    if data is not None:
        release = manifest.parse(data, where=str(path))
        if version not in {None, release.version}:
            raise ConfigError(
                f"The bundle {directory} is the release {release.version}, not {version}.",
                remedy="Leave --version out.",
            )
        return BundleMaker(context, directory, release)
    if version is None:
        raise ConfigError("--version is missing.", remedy="See model-agent publish --help.")
    _require_version(version)
    return TreeMaker(context, directory, version)


def of_catalog(context: Context, version: str | None) -> HubMaker:
    """What makes a release of the catalog's models.

    Raises:
        ConfigError: The version is no version, or a model is not known.
    """
    _require_version(version or context.catalog.version)
    return HubMaker(context, version or context.catalog.version)


def into(target: Path, make: Callable[[Path], Manifest]) -> Manifest:
    """Have `make` fill a directory that is not there, or empty; nothing is there if it fails.

    Raises:
        RefusedError: There is something in it.
    """
    # A directory is made beside it and renamed, which would take this one from under its user.
    if not target.name or target.resolve() == Path.cwd():
        raise RefusedError(f"{target} is no place for a bundle.", remedy="Name a new directory.")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise RefusedError(f"{target} is not empty.", remedy="Name a new directory.")
    unfinished = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    with writing(str(target)):
        durable.make_directory(unfinished)
    try:
        made = make(unfinished)
        with writing(str(target)):
            durable.sync_tree(unfinished)
            unfinished.rename(target)
            durable.sync_directory(target.parent)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return made


def _suffix(directory: Path, version: str) -> str:
    """What the tree's directories end in: as adoption has it, `fastembed-v2/` is v2."""
    there = [root for root in layout.ROOTS if (directory / root).is_dir()]
    suffix = layout.suffix([path.name for path in directory.glob("*-*")], version)
    if suffix and there:
        raise RefusedError(
            f"{directory} holds {there[0]}/, and directories that end in {suffix}: either could be "
            f"meant by {version}.",
            remedy="Publish under another version, or from a directory that holds one tree.",
        )
    return suffix


class TreeMaker:
    """Makes a release of a tree as operators make it by hand."""

    def __init__(self, context: Context, directory: Path, version: str) -> None:
        self.version = version
        self._context = context
        suffix = _suffix(directory, version)
        tree = DirectoryShare(directory)
        self._source = TreeSource(tree, _wanted(context), suffix, strict=context.strict)
        self._plan = self._source.plan()

    def make(self, target: Path) -> Manifest:
        """See `Maker`."""
        return _build(self._context, self._source, self.version, target, plan=self._plan)

    def done(self) -> None:
        """Nothing was kept."""


class HubMaker:
    """Makes a release of the catalog's models at their pinned revisions."""

    def __init__(self, context: Context, version: str) -> None:
        self.version = version
        self._context = context
        self._wanted = _wanted(context)
        self._kept = ExitStack()

    def is_published(self, there: Manifest) -> bool:
        """Whether a release holds the very models that would be fetched now."""
        held = {model.ref for model in there.models}
        resolved = hub(self._context).resolve(self._wanted)
        return held == {found.ref for found in resolved}

    def make(self, target: Path) -> Manifest:
        """See `Maker`."""
        downloads = self._kept.enter_context(scratch.kept("hub"))
        return fetch_and_build(self._context, downloads, self.version, target)

    def done(self) -> None:
        """What was fetched may go; without this, the next run goes on with it."""
        self._kept.close()


class BundleMaker:
    """Takes a release that was made before, as it is, once every byte of it was verified."""

    def __init__(self, context: Context, directory: Path, release: Manifest) -> None:
        self.version = release.version
        self._context = context
        self._directory = directory
        self._release = release

    def make(self, target: Path) -> Manifest:
        """See `Maker`."""
        release, moved = self._release, ByteCounter()
        disk.require(target, release.size)
        copier = Copier(
            DirectoryShare(self._directory),
            target,
            release.chunk_size,
            self._context.stop,
            moved.add,
        )
        self._verify()
        with progress.shown(self._context.log, "copy", moved, release.size):
            copier.copy([Job(f.path, f.path, f.size, f.chunks) for f in release.files])
        with writing(manifest.FILE_NAME):
            durable.write(target / manifest.FILE_NAME, release.encoded)
        stored.keep(target, stored.read(self._directory))
        _pass_on_gpu(self._context, release, target)
        return release

    def _verify(self) -> None:
        """Compare the digests of whole files too: a signature is of those, pods go by chunks.

        Here, not where it is copied to: that may be a mount, from which reading takes long.
        """
        release, moved, stop = self._release, ByteCounter(), self._context.stop
        with progress.shown(self._context.log, "verify", moved, release.size):
            here = DirectoryShare(self._directory)
            verify.verify(release, here, "", stop=stop, moved=moved, whole=True)

    def done(self) -> None:
        """Nothing was kept."""


def fetch_and_build(
    context: Context,
    downloads: Path,
    version: str,
    target: Path,
    *,
    need: Callable[[int], None] | None = None,
) -> Manifest:
    """Fetch the catalog's models into `downloads`, and make the release of them in `target`.

    Args:
        context: What to work with.
        downloads: Where to; what is there already is used.
        version: What the release is called.
        target: An empty directory.
        need: Refuses if so many bytes are too many, before the first one is fetched.

    Raises:
        AgentError: As `Hub.fetch` and `Builder.build` raise.
    """
    source, wanted, moved = hub(context), _wanted(context), ByteCounter()
    resolved = source.resolve(wanted)
    for each in resolved:
        context.log.info("hub.resolved", repo=each.ref.repo, revision=each.ref.revision)
    # Weights that are optimised stand there twice for a while.
    times = 2 if any(want.optimize for want in wanted) else 1
    room = times * hub_bytes(resolved) - disk.own_bytes(downloads)
    (need or partial(disk.require, downloads))(max(0, room))
    with progress.shown(context.log, "fetch", moved, hub_bytes(resolved)):
        source.fetch(resolved, downloads, moved)
    tree = TreeSource(DirectoryShare(downloads), wanted, owned=downloads)
    return _build(context, tree, version, target, expected=_published(context.catalog))


def hub_bytes(resolved: Sequence[Resolved]) -> int:
    """Bytes of all files that are fetched."""
    return sum(file.size for model in resolved for file in model.files)


def _require_version(version: str) -> None:
    if not is_version(version):
        raise ConfigError(
            f"{version!r} is not a version.",
            remedy="Use letters, digits, dots, dashes and underscores, at most 63 of them.",
        )


def _published(catalog: Catalog) -> Numbers:
    return {(e.name, e.loader): e.expected for e in catalog.model if e.expected}


def _build(
    context: Context,
    source: TreeSource,
    version: str,
    target: Path,
    *,
    plan: Plan | None = None,
    expected: Numbers | None = None,
) -> Manifest:
    moved, plan, expected = ByteCounter(), plan or source.plan(), expected or {}
    total = source.size(plan)
    disk.require(target, total)
    builder = Builder(context.warmer, context.stop, moved.add, optimize=True, expected=expected)
    with progress.shown(context.log, "build", moved, total):
        release = builder.build(source, plan, version, target)
    _say_unchecked(context, release, expected)
    _pass_on_gpu(context, release, target)
    return release


def _pass_on_gpu(context: Context, release: Manifest, directory: Path) -> None:
    """Hold a release to its canaries on a GPU as well, if one is asked for."""
    if context.settings.device.startswith("cuda"):
        context.warmer.warm(release, directory)


def _say_unchecked(context: Context, release: Manifest, expected: Numbers) -> None:
    for model in release.models:
        if model.canary is None:
            context.log.warning(
                "model.not_run",
                model=model.name,
                loader=model.loader,
                reason="it has no canary, and its published numbers are not checked"
                if (model.name, model.loader) in expected
                else "it has no canary",
            )


def hub(context: Context) -> Hub:
    """The Hub, as the settings have it."""
    settings = context.settings
    return Hub(context.log, context.stop, settings.hub_timeout, settings.allow_pickle)


def _wanted(context: Context) -> tuple[Wanted, ...]:
    """The catalog's models, optimised as the flag says, if it says anything."""
    chosen = context.settings.optimize
    if chosen is None:
        return context.wanted
    return tuple(replace(w, optimize=chosen and w.model_file is not None) for w in context.wanted)
