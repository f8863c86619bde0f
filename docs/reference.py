"""Writes docs/reference.md, all of it read from the code: python docs/reference.py."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

sys.path.append(str(Path(__file__).resolve().parents[1]))
sys.path.append(str(Path(__file__).resolve().parents[1] / "images" / "embeddings-worker"))

from agent import quantities, settings
from docs import rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

PAGE: Final = Path(__file__).with_name("reference.md")
# Each setting once, with those that it belongs to.
_SETTINGS: Final[Mapping[str, tuple[str, ...]]] = {
    "The share": settings.SHARE,
    "The store": (*settings.STORE, "keep"),
    "The start of a pod": settings.START,
    "Devices and warm-up": settings.DEVICE,
    "Embedding space": settings.SPACE,
    "The sidecar": settings.FOLLOW,
    "The worker": settings.WORKER,
    "Making releases": settings.MAKE,
    "The log": settings.LOG,
}
_PAGE: Final = """\
# Reference

Every command, setting, exit code, metric and endpoint. `make docs` makes this page from the code,
and a test fails where the two differ: change the code. How to use all this:
[for operators](operations.md), [the worker contract](worker.md).

## Commands

{commands}

A command takes the settings below that name it. Some have flags of their own, without a variable:

{own_flags}

## Settings

A flag wins over its variable. All mistakes are reported at once, and a variable `MODEL_AGENT_…`
that is not listed here is one.

- DURATION: {duration}
- SIZE: {size}
- A flag without a value is `true` or `false` as a variable.

{settings}

### Credentials of Azure Files

The first of these is taken: a file where `--azure-secret-dir` is given, else a variable. Without
any, the agent goes by the pod's identity.

{credentials}

## Exit codes

The last line on stderr, which is the container's termination message too, says what happened and
what to do.

{exits}

## Metrics

{metrics}

## Endpoints

### The sidecar, at `--listen`

{sidecar}

### The worker's admin listener, at its `--admin`

{admin}

### The serving port of the embeddings worker

{serving}

## The embeddings worker

What `images/embeddings-worker/app.py` takes:

{worker}

What loaders in a worker of your own go by; `model-agent doctor` checks it:

{loaders}
"""


def page() -> str:
    """The text of docs/reference.md."""
    return _PAGE.format(
        commands=table(("command", "what it does"), rows.commands()),
        own_flags=table(("flag", "commands", "default", "meaning"), rows.own_flags()),
        duration=_returned(quantities.duration),
        size=_returned(quantities.size),
        settings="\n\n".join(_settings()),
        credentials=table(("what", "variable", "file"), rows.credentials()),
        exits=table(("code", "name", "meaning", "what usually helps"), rows.exits()),
        metrics=table(("name", "type", "labels", "meaning"), rows.metrics()),
        worker=table(("flag", "variable", "default", "meaning"), rows.worker_flags()),
        loaders=table(("variable", "directory of the store"), rows.loader_variables()),
        **{
            name: table(("request", "answer"), rows.routes(app))
            for name, app in rows.applications().items()
        },
    )


def _returned(function: Callable[[str], object]) -> str:
    return (inspect.getdoc(function) or "").removeprefix("Return ")


def table(heads: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    whole = [heads, ["---"] * len(heads), *lines]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in whole)


def _settings() -> Iterator[str]:
    heads = ("flag", "variable", "default", "commands", "meaning")
    for title, names in _SETTINGS.items():
        yield f"### {title}\n\n{table(heads, map(rows.setting, names))}"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")


if __name__ == "__main__":
    PAGE.write_text(page())
