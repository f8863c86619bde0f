"""The child process of a warm-up: a request on stdin, a line of JSON a step on stdout.

It is a process of its own so that the memory, and a CUDA context, are given back when it ends.
"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from agent.machine import children
from agent.models.devices.device_error import DeviceError
from agent.models.formats import precision
from agent.models.runtimes import unrun_model
from agent.models.runtimes.unrun_model import NotRunError
from agent.release import layout
from agent.warmup.measure import Taken, measure
from agent.warmup.protocol import Failure, Measured, Outcome, Request, Step, Subject

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.models.devices.device import Device
    from agent.release.model_ref import ModelRef
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
            failure = _explain(subject.ref.name, error, request.device)
            return Outcome(tuple(measured), failure)
    return Outcome(tuple(measured))


def _measure(subject: Subject, request: Request, begin: Callable[[str], None]) -> Measured:
    ref, release = subject.ref, Path(request.release)
    begin(f"loading {ref.name} on {request.device}")
    kind = precision.of(release / layout.snapshot_directory(ref))
    taken = Taken(request.device)
    try:
        model = _load(ref, release, request.device)
    except NotRunError as why:
        dim, length = unrun_model.inspect(ref, release, why.dim)
        return Measured(ref, dim, length, kind, not_run=str(why))
    return measure(model, subject, request, precision=kind, taken=taken, begin=begin)


def _load(ref: ModelRef, release: Path, device: Device) -> Model:
    """Load a model by its loader; what takes 100 MB is imported only where it is needed."""
    if ref.loader == "fastembed":
        from agent.models import fastembed_lists  # noqa: PLC0415
        from agent.models.runtimes.fastembed_model import FastEmbedModel  # noqa: PLC0415

        if other := fastembed_lists.not_run(ref.name):
            what, dim = other
            raise NotRunError(f"the agent does not run FastEmbed's {what} models", dim)
        return FastEmbedModel(ref, release, device)
    if ref.loader != "sentence-transformers":
        raise NotRunError(f"the loader {ref.loader} does not say how")
    try:
        from agent.models.runtimes.torch_model import TorchModel  # noqa: PLC0415
    except ModuleNotFoundError as error:
        return _load_without(f"{error.name} is not installed (extra st)", ref, release, device)
    return TorchModel(ref, release, device)


def _load_without(lacking: str, ref: ModelRef, release: Path, device: Device) -> Model:
    """Load a sentence-transformers model where that library is lacking, if it can be done."""
    try:
        from agent.models.runtimes.bert.model import BertModel  # noqa: PLC0415
    except ModuleNotFoundError:
        raise NotRunError(lacking) from None
    try:
        return BertModel(ref, release, device)
    except NotRunError as why:
        raise NotRunError(f"{why}, and {lacking}") from None


def _explain(name: str, error: Exception, device: Device) -> Failure:
    if isinstance(error, DeviceError):
        what = f"{name} does not run on {device}: {error.what}"
        return Failure("device", what, error.remedy)
    reason = " ".join(str(error).split())[:500] or type(error).__name__
    what = f"{name} does not load on {device}: {reason.rstrip('.')}."
    return Failure("model", what, "Publish a release whose models load.")


if __name__ == "__main__":
    main()
