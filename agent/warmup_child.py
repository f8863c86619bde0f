"""The child process of a warm-up: a request on stdin, JSON on stdout.

It is a process of its own so that the memory, and a CUDA context, are given back when it ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from agent import children, layout, space, structure
from agent.warmup_protocol import Measured, Outcome, Request, Subject

if TYPE_CHECKING:
    from agent.embedder import Embedder

_STEADY_RUNS = 3


def main() -> None:
    """Answer one request."""
    children.die_with_parent()
    request = msgspec.json.decode(sys.stdin.buffer.read(), type=Request)
    with contextlib.suppress(OSError):
        os.nice(request.nice)
    # Libraries print to stdout; the answer must be all that stands there.
    with contextlib.redirect_stdout(sys.stderr):
        outcome = _answer(request)
    sys.stdout.buffer.write(msgspec.json.encode(outcome))


def _answer(request: Request) -> Outcome:
    measured = []
    for subject in request.models:
        try:
            measured.append(_measure(subject, request))
        except Exception as error:  # noqa: BLE001 - whatever a model raises is its failure to load
            return Outcome(tuple(measured), **_explain(subject, error, request.device))
    return Outcome(tuple(measured))


def _measure(subject: Subject, request: Request) -> Measured:
    if subject.loader == "fastembed":
        return _run(subject, request)
    return _inspect(subject, Path(request.release))


def _run(subject: Subject, request: Request) -> Measured:
    from agent.embedder import Embedder  # noqa: PLC0415 - only this path pays for the import

    embedder = Embedder(subject.name, subject, Path(request.release), request.device)
    texts = subject.canary.texts if subject.canary else space.CANARY_TEXTS
    first, steady = _latencies(embedder, texts[0])
    vectors = tuple(tuple(embedder.embed(text)) for text in texts)
    return Measured(
        name=subject.name,
        loader=subject.loader,
        device=request.device,
        provider=embedder.provider,
        load_seconds=embedder.load_seconds,
        first_seconds=first,
        steady_seconds=steady,
        dim=len(vectors[0]),
        max_length=embedder.max_length,
        canary_cosine=space.lowest_cosine(subject.canary, vectors) if subject.canary else None,
        finite=all(space.cosine(vector, vector) for vector in vectors),
        peak_rss_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        vectors=() if subject.canary else vectors,
    )


def _latencies(embedder: Embedder, text: str) -> tuple[float, float]:
    """Seconds of the first run, and of the quickest of a few more."""
    seconds = []
    for _ in range(1 + _STEADY_RUNS):
        began = time.perf_counter()
        embedder.embed(text)
        seconds.append(time.perf_counter() - began)
    return seconds[0], min(seconds[1:])


def _inspect(subject: Subject, release: Path) -> Measured:
    """Check a model that is not run here: its files, its config, the shapes of its weights."""
    directory = release / layout.snapshot_directory(subject)
    config = _json(directory, "config.json")
    dim = int(config["hidden_size"])
    for path in sorted(directory.glob("*.safetensors")):
        with path.open("rb") as file:
            _check_shapes(structure.safetensors_header(file), dim, config)
    pooling = directory / "1_Pooling" / "config.json"
    if pooling.exists():
        dim = int(json.loads(pooling.read_bytes()).get("word_embedding_dimension", dim))
    limits = (
        ("sentence_bert_config.json", "max_seq_length"),
        ("config.json", "max_position_embeddings"),
    )
    found = [_json(directory, name).get(key) for name, key in limits if (directory / name).exists()]
    max_length = next((int(value) for value in found if value), 512)
    return Measured(name=subject.name, loader=subject.loader, dim=dim, max_length=max_length)


def _check_shapes(tensors: dict[str, Any], dim: int, config: dict[str, Any]) -> None:
    for name, info in tensors.items():
        if name.endswith("word_embeddings.weight") and info["shape"] != [config["vocab_size"], dim]:
            raise ValueError(f"{name} has the shape {info['shape']}, which is not config.json's")


def _json(directory: Path, name: str) -> dict[str, Any]:
    structure.check(directory / name, name)
    value = json.loads((directory / name).read_bytes())
    if not isinstance(value, dict):
        raise ValueError(f"{name} is not a JSON object")  # noqa: TRY004 - damaged data
    return value


def _explain(subject: Subject, error: Exception, device: str) -> dict[str, Any]:
    reason = " ".join(str(error).split())[:500] or type(error).__name__
    blames_release = type(error).__name__ != "DeviceError"
    return {
        "failure": f"{subject.name} does not load on {device}: {reason.rstrip('.')}.",
        "blames_release": blames_release,
    }


if __name__ == "__main__":
    main()
