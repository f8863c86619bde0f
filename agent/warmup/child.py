"""The child process of a warm-up: a request on stdin, a line of JSON a step on stdout.

It is a process of its own so that the memory, and a CUDA context, are given back when it ends.
"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from agent.machine import children
from agent.models.formats import precision
from agent.models.runtimes import unrun_model
from agent.release import layout
from agent.warmup.measure import Taken, measure
from agent.warmup.protocol import Measured, Outcome, Request, Step, Subject

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.warmup.measure import Model


def main() -> None:
    """Answer one request."""
    children.die_with_parent()
    request = msgspec.json.decode(sys.stdin.buffer.read(), type=Request)
    out = sys.stdout.buffer

    def say(line: Step | Outcome) -> None:
        out.write(msgspec.json.encode(line) + b"\n")
        out.flush()

    # Libraries print to stdout; the answer must be all that stands there.
    with contextlib.redirect_stdout(sys.stderr):
        outcome = _answer(request, lambda doing: say(Step(doing)))
    say(outcome)


def _answer(request: Request, begin: Callable[[str], None]) -> Outcome:
    measured = []
    for subject in request.models:
        try:
            measured.append(_measure(subject, request, begin))
        except Exception as error:  # noqa: BLE001 - whatever a model raises is its failure to load
            return Outcome(tuple(measured), **_explain(subject, error, request))
    return Outcome(tuple(measured))


def _measure(subject: Subject, request: Request, begin: Callable[[str], None]) -> Measured:
    begin(f"loading {subject.name} on {request.device}")
    release = Path(request.release)
    kind = precision.of(release / layout.snapshot_directory(subject))
    taken = Taken(request.device)
    try:
        model = _load(subject, release, request)
    except _NotRunError as why:
        dim, length = unrun_model.inspect(subject, release)
        return Measured(subject.name, subject.loader, dim, length, kind, not_run=str(why))
    return measure(model, subject, request, precision=kind, taken=taken, begin=begin)


def _load(subject: Subject, release: Path, request: Request) -> Model:
    """The model, by its loader; what takes 100 MB is imported only where it is needed."""
    if subject.loader == "fastembed":
        from agent.models.runtimes.fastembed_model import FastEmbedModel  # noqa: PLC0415

        return FastEmbedModel(subject.name, subject, release, request.device)
    if subject.loader != "sentence-transformers":
        raise _NotRunError(f"the loader {subject.loader} does not say how")
    try:
        from agent.models.runtimes.torch_model import TorchModel  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise _NotRunError(f"{error.name} is not installed (extra st)") from None
    return TorchModel(subject, release, request.device)


class _NotRunError(Exception):
    """Nothing here can run the model; the sentence says why."""


def _explain(subject: Subject, error: Exception, request: Request) -> dict[str, Any]:
    if type(error).__name__ == "DeviceError":  # known only where onnxruntime is imported
        what: str = error.what  # type: ignore[attr-defined]
        failure = f"{subject.name} does not run on {request.device}: {what}"
        return {"failure": failure, "remedy": error.remedy}  # type: ignore[attr-defined]
    reason = " ".join(str(error).split())[:500] or type(error).__name__
    return {"failure": f"{subject.name} does not load on {request.device}: {reason.rstrip('.')}."}


if __name__ == "__main__":
    main()
