"""Fuzzes hand-made trees: what `init` takes, stock loaders load, and answer as the good tree.

python -m tests.fuzz.trees COUNT SEED LOADERS

LOADERS is a Python that has sentence-transformers and the oldest FastEmbed. A good tree is changed
in one to three ways, and given to the doctor and to `init`. They must agree, and whatever is active
then must load. Run it without the capabilities by which root reads everything: see `DROPPED`.
"""

from __future__ import annotations

import codecs
import json
import logging
import os
import shutil
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from agent.doctor import examination
from agent.doctor.judge import findings
from agent.errors import AgentError, Exit
from agent.files import hashing
from agent.models.contents import Contents
from agent.publish.source import TreeSource
from agent.release.space import cosine
from agent.sync import init
from tests.support import models, sentences
from tests.support.pods import Pod
from tests.support.shares import REVISION, in_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from agent.context import Context
    from agent.release.manifest import Manifest
    from agent.release.wanted import Wanted

    Edit = tuple[str, int, int]

DROPPED: Final = ("setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner", "--")
TEXT: Final = "A man is eating food."
FE: Final = "fastembed/models--Qdrant--bge-large-en-v1.5-onnx"
ST: Final = "sentence_transformers/models--sentence-transformers--all-MiniLM-L6-v2"
_RANGE: Final = 4 * 1024 * 1024
_ALIKE: Final = 0.999
# The doctor does not run models.
_OF_MODELS: Final = Exit.WARMUP


def rename(path: Path, number: int) -> None:
    """Give it another name."""
    path.rename(path.with_name(path.name + (".bak", ".partial", "2", " (1)")[number % 4]))


def change_case(path: Path, number: int) -> None:
    """Write its name in other letters."""
    path.rename(
        path.with_name((path.name.upper(), path.name.lower(), path.name.title())[number % 3])
    )


def duplicate(path: Path, number: int) -> None:
    """Have it twice."""
    name = (
        f"Copy of {path.name}",
        f"{path.name}.old",
        f"x{path.name}",
        f"{path.stem} - Copy{path.suffix}",
    )
    target = path.with_name(name[number % 4])
    if path.is_dir() and not target.exists():
        shutil.copytree(path, target, symlinks=True)
    elif path.is_file():
        shutil.copyfile(path, target)


def truncate(path: Path, number: int) -> None:
    """Cut off its end."""
    if path.is_file():
        size = path.stat().st_size
        data = path.read_bytes()[: size * (number % 100) // 100]
        path.unlink()
        path.write_bytes(data)


def hole(path: Path, number: int) -> None:
    """Lose a range of it, as an upload does."""
    if path.is_file():
        data = bytearray(path.read_bytes())
        start = number % (len(data) // _RANGE + 1) * _RANGE
        data[start : start + _RANGE] = bytes(len(data[start : start + _RANGE]))
        path.unlink()
        path.write_bytes(data)


def mark(path: Path, number: int) -> None:
    """Put a byte order mark before it, or write it as UTF-16."""
    if path.is_file():
        data = path.read_bytes()
        path.unlink()
        as_text = data.decode(errors="replace").encode("utf-16")
        path.write_bytes(codecs.BOM_UTF8 + data if number % 2 else as_text)


def lose(path: Path, _number: int) -> None:
    """Do not have it."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def close(path: Path, _number: int) -> None:
    """Let nobody read it."""
    path.chmod(0)


def link(path: Path, number: int) -> None:
    """Have a link in its place: to what it was, to nowhere, or as a file."""
    if number % 3 == 0:
        path.rename(path.with_name("linked"))
        path.symlink_to("linked")
    else:
        lose(path, 0)
        if number % 3 == 1:
            path.symlink_to("../nowhere")
        else:
            path.write_bytes(b"XSym\n0004\n0123456789abcdef0123456789abcdef\nblob\n".ljust(1067))


EDITS: Final[dict[str, Callable[[Path, int], None]]] = {
    edit.__name__: edit
    for edit in (rename, change_case, duplicate, truncate, hole, mark, lose, close, link)
}


@dataclass
class Bench:
    """A good tree, what it answers, and what was seen.

    Attributes:
        good: The tree.
        loaders: Stock loaders, the oldest, in a process of their own.
        wanted: What the built-in catalog means in files.
        known: Digests of what was taken of a tree, loaded, and answered well.
        seen: How often `init` ended with each code.
    """

    good: Path
    loaders: subprocess.Popen[str]
    wanted: tuple[Wanted, ...]
    known: set[str] = field(default_factory=set)
    seen: Counter[int] = field(default_factory=Counter)

    @cached_property
    def places(self) -> list[str]:
        """Everything in the good tree, by its path; files more often than directories."""
        found = sorted(self.good.rglob("*"))
        often = [path for path in found for _ in range(3 if path.is_file() else 1)]
        return [str(path.relative_to(self.good)) for path in often]

    @cached_property
    def answers(self) -> dict[str, list[float]]:
        """What the models of the good tree say, by loader."""
        answers = {how: self.ask(how, self.good) for how in ("fastembed", "sentence-transformers")}
        assert all(isinstance(answer, list) for answer in answers.values()), answers
        return answers  # type: ignore[return-value]

    def ask(self, how: str, root: Path) -> list[float] | str:
        """Return what a stock loader says of a tree or a store: a vector, or why there is none."""
        assert self.loaders.stdin
        assert self.loaders.stdout
        directory, name = (
            ("fastembed", models.BGE_LARGE)
            if how == "fastembed"
            else ("sentence_transformers", models.MINILM)
        )
        print(
            json.dumps([how, str(root / directory), name, TEXT]),
            file=self.loaders.stdin,
            flush=True,
        )
        answer: list[float] | str = json.loads(self.loaders.stdout.readline())
        return answer

    def context(self, pod: Pod) -> Context:
        """Return what a command works with."""
        context = pod.context(no_warm="true", reload_method="none")
        vars(context.contents)["wanted"] = self.wanted
        return context

    def check(self, edits: Sequence[Edit]) -> None:
        """Change the good tree, and see what becomes of it."""
        with in_memory() as root:
            pod = Pod(root, env={"MODEL_AGENT_CATALOG": "", "MODEL_AGENT_POPULATE": "never"})
            shutil.copytree(self.good, pod.share.root, dirs_exist_ok=True)
            for name, place, number in edits:
                path = pod.share.root / self.places[place]
                with suppress(OSError):  # it is closed, or its new name is taken
                    if path.exists():
                        EDITS[name](path, number)
            try:
                self.examine(pod)
            finally:
                for path in (pod.share.root, *pod.share.root.rglob("*")):
                    if not path.is_symlink():
                        path.chmod(0o700)

    def examine(self, pod: Pod) -> None:
        """Have the doctor and `init` look at a tree, and stock loaders at what is active then."""
        error = findings.first_failure(examination.examine(self.context(pod)))
        told = error.exit_code if error else Exit.DONE
        taken = self.taken(pod)
        if taken in self.known:  # running the same models again takes seconds, and tells nothing
            self.seen[told] += 1
            assert told == Exit.DONE, error
            return
        code, why = self.begin(pod)
        self.seen[code] += 1
        # Of several faults each may have met another one first.
        assert bool(code) == bool(told) or code == _OF_MODELS, (error, why)
        if code == Exit.DONE:
            self.load(pod, pod.manifest("unversioned"))
            self.known.add(taken)

    def taken(self, pod: Pod) -> str:
        """Return a digest of all that is taken of a tree; an empty one if something is wrong."""
        source = TreeSource(pod.context().share, self.wanted, strict=False)
        try:
            plan = source.plan()
        except AgentError:
            return ""
        found = {name: pod.share.root / origin for name, origin in plan.files.items()}
        if not all(os.access(path, os.R_OK) for path in found.values()):
            return ""
        return repr({name: hashing.whole_digest(path) for name, path in sorted(found.items())})

    def begin(self, pod: Pod) -> tuple[int, str]:
        """Run `init`; return its exit code, and what it says."""
        try:
            init.run(self.context(pod))
        except AgentError as error:
            return error.exit_code, str(error)
        return Exit.DONE, ""

    def load(self, pod: Pod, release: Manifest) -> None:
        """See that stock loaders answer as from the good tree."""
        for model in release.models:
            answer = self.ask(model.loader, pod.store)
            assert isinstance(answer, list), answer
            assert cosine(answer, self.answers[model.loader]) > _ALIKE, model


def make_good(root: Path) -> None:
    """Write the good tree: its weights have several ranges of an upload."""
    with in_memory() as scratch:
        models.write_tiny(scratch / "tiny", hidden=384)
        models.as_hub_cache(root / "fastembed", models.BGE_LARGE_REPO, REVISION, scratch / "tiny")
        sentences.write(scratch / "sentences")
        models.as_hub_cache(
            root / "sentence_transformers", models.MINILM, REVISION, scratch / "sentences"
        )


def main(count: int, number: int, python: str) -> None:
    """Try so many trees."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    with in_memory() as good:
        make_good(good)
        server = Path(__file__).parents[1] / "support" / "loading_server.py"
        command = [python, str(server)]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as loaders:
            bench = Bench(good, loaders, Contents().wanted)
            assert bench.answers
            edit = st.tuples(
                st.sampled_from(sorted(EDITS)),
                st.integers(0, len(bench.places) - 1),
                st.integers(0, 99),
            )

            @seed(number)
            @settings(
                max_examples=count,
                deadline=None,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(st.lists(edit, min_size=1, max_size=3))
            def try_one(edits: list[Edit]) -> None:
                bench.check(edits)

            try_one()
            assert loaders.stdin
            loaders.stdin.close()
    codes = ", ".join(f"{times} with {int(code)}" for code, times in sorted(bench.seen.items()))
    print(f"{bench.seen.total()} trees: {codes}; {len(bench.known)} releases were loaded")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
