"""Builds a release out of a tree that has no manifest: copy, hash, check, measure, describe.

Adoption builds into a store, `publish --from` onto a share; both by the same steps, so the same
content has the same digest.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

from agent import GENERATOR
from agent.errors import ModelError
from agent.files import durable, hashing
from agent.files.copy import Copier, Job
from agent.files.durable import writing
from agent.machine.clock import utc_now
from agent.models.formats import external_data, onnx, whole
from agent.release import canary, manifest
from agent.release.manifest import Canary, File, Model
from agent.release.space import CANARY_TEXTS
from agent.warmup.protocol import Subject

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from agent.publish.source import TreeSource
    from agent.release.adoption.plan import Plan
    from agent.release.catalog import Expected
    from agent.release.manifest import Manifest
    from agent.release.model_ref import ModelRef
    from agent.warmup.protocol import Measured
    from agent.warmup.warmer import Warmer

# Vectors are kept to this many digits: far finer than any tolerance, and short.
_DIGITS: Final = 6

# Published numbers by a model's name and loader.
Numbers: TypeAlias = "Mapping[tuple[str, str], Expected]"


@dataclass(frozen=True)
class Builder:
    """Builds releases.

    Attributes:
        warmer: Measures the models.
        stop: Ends it early.
        moved: Told of progress, as by `Copier`.
        optimize: Whether weights become external data where the plan says so. Not where a tree is
            adopted: there a pod gets the bytes that it has.
        expected: Published numbers, by name and loader, that models must give.
        not_run: Told of each model that cannot be run here, and why.
    """

    warmer: Warmer
    stop: threading.Event
    moved: Callable[[str, int], None]
    optimize: bool = False
    expected: Numbers = field(default_factory=dict)
    not_run: Callable[[ModelRef, str], None] = lambda _ref, _why: None

    def build(self, source: TreeSource, plan: Plan, version: str, directory: Path) -> Manifest:
        """Fill `directory` with the release, its manifest last, and return that manifest.

        Raises:
            VerificationError: A file is damaged.
            ModelError: A model does not load, or does not give the published numbers.
            AgentError: As `Copier.copy` and `Warmer.measure` raise.
        """
        chunks = self._place(source, plan, directory)
        upstream = self._optimized(plan, directory) if self.optimize else {}
        chunks |= hashing.chunk_digests(
            directory,
            [path for model in upstream for path in (model, f"{model}.data")],
            chunk_size=manifest.CHUNK_SIZE,
            stop=self.stop,
        )
        measured = self._measure(plan, directory)
        release = manifest.build(
            version=version,
            created=utc_now(),
            generator=GENERATOR,
            chunk_size=manifest.CHUNK_SIZE,
            files=[_file(directory, path, c, upstream.get(path)) for path, c in chunks.items()],
            models=[_model(ref, m) for ref, m in zip(plan.models, measured, strict=True)],
        )
        with writing(manifest.FILE_NAME):
            durable.write(directory / manifest.FILE_NAME, release.encoded)
        return release

    def _measure(self, plan: Plan, directory: Path) -> tuple[Measured, ...]:
        """Run the models where canaries are made: in fp32 on the CPU, one text at a time."""
        expected = [self.expected.get((ref.name, ref.loader)) for ref in plan.models]
        subjects = [
            Subject(ref, ask=e.text if e else None)
            for ref, e in zip(plan.models, expected, strict=True)
        ]
        measured = self.warmer.measure(subjects, directory)
        for seen, published in zip(measured, expected, strict=True):
            if seen.not_run:
                self.not_run(seen.ref, seen.not_run)
            elif published:
                _hold(seen, published)
        return measured

    def _place(self, source: TreeSource, plan: Plan, directory: Path) -> dict[str, tuple[str, ...]]:
        """Put all files into `directory`, check their formats, and return their chunk digests."""
        owned = source.owned
        digests = dict(
            self._link(owned, plan, directory)
            if owned and durable.links_reach(owned, directory)
            else self._copy(source, plan, directory)
        )
        for path, data in plan.written.items():
            with writing(path):
                durable.make_directory((directory / path).parent)
                durable.write(directory / path, data)
            digests[path] = (hashlib.sha256(data).hexdigest(),)
        for path in (each for each in digests if each not in plan.written):
            origin = plan.origin(path) or path
            whole.check(directory / path, origin, digested=owned is not None)
        return digests

    def _copy(
        self, source: TreeSource, plan: Plan, directory: Path
    ) -> Mapping[str, tuple[str, ...]]:
        sizes = source.sizes(plan)
        copier = Copier(source.share, directory, manifest.CHUNK_SIZE, self.stop, self.moved)
        source.refuse_holes({origin: sizes[origin] for origin in plan.files.values()})
        jobs = [Job(path, origin, sizes[origin]) for path, origin in plan.files.items()]
        digests = {**copier.copy(jobs)}
        weights = {path: plan.origin(path) for path in _weights(plan, directory)}
        jobs = [Job(p, origin, sizes[origin]) for p, origin in weights.items() if origin in sizes]
        return {**digests, **copier.copy(jobs)}

    def _link(self, owned: Path, plan: Plan, directory: Path) -> Mapping[str, tuple[str, ...]]:
        """Link files that are ours: that takes no space, and time for their digests only."""
        for path, origin in plan.files.items():
            with writing(path):
                durable.make_directory((directory / path).parent)
                (directory / path).unlink(missing_ok=True)
                os.link(owned / origin, directory / path)
        return hashing.chunk_digests(
            directory, list(plan.files), chunk_size=manifest.CHUNK_SIZE, stop=self.stop
        )

    def _optimized(self, plan: Plan, directory: Path) -> dict[str, str]:
        """Make weights external data; return the digest that each changed file had before."""
        before: dict[str, str] = {}
        for path in plan.optimize:
            digest = hashing.whole_digest(directory / path)
            if external_data.externalize(directory / path, directory / path):
                before[path] = digest
        return before


def _weights(plan: Plan, directory: Path) -> list[str]:
    """Return the files beside ONNX graphs, which are in `directory`, that hold their weights."""
    found: list[str] = []
    for graph, beside in plan.beside.items():
        folder = graph.rpartition("/")[0]
        with whole.refusing(plan.files[graph]), (directory / graph).open("rb") as file:
            named = {f"{folder}/{name}" for name in onnx.weight_files(file)}
        found += [path for path in beside if path in named]
    return found


def _hold(seen: Measured, published: Expected) -> None:
    if reason := canary.unexpected(published, seen.answer):
        raise ModelError(
            f"{seen.ref.name} {reason}.",
            remedy="Check the repo and revision in the catalog, or correct its expected numbers.",
        )


def _file(directory: Path, path: str, chunks: tuple[str, ...], upstream: str | None) -> File:
    return File(
        path=path,
        size=(directory / path).stat().st_size,
        sha256=hashing.whole_digest(directory / path),
        chunks=chunks,
        upstream_sha256=upstream,
    )


def _model(ref: ModelRef, measured: Measured) -> Model:
    return Model(
        name=ref.name,
        loader=ref.loader,
        repo=ref.repo,
        revision=ref.revision,
        dim=measured.dim,
        max_length=measured.max_length,
        canary=_canary(measured),
    )


def _canary(measured: Measured) -> Canary | None:
    """Return the vectors that all devices are held to; None for a model that was not run."""
    if measured.not_run:
        return None
    if not measured.finite:
        raise ModelError(
            f"{measured.ref.name} gives vectors that are zero or not finite.",
            remedy="Publish it from the right files.",
        )
    vectors = tuple(tuple(round(x, _DIGITS) for x in v) for v in measured.vectors)
    return Canary(CANARY_TEXTS, vectors, canary.MIN_COSINES[measured.precision])
