"""Loads bge-large as a worker does, or as the agent's warm-up does, and embeds one text."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import onnxruntime as ort
from fastembed import TextEmbedding

from tests.benchmarks.clients.clock import measured
from tests.support import models


def main() -> None:
    """Load from the cache of the second argument, in the way of the first."""
    how, cache = sys.argv[1], Path(sys.argv[2])
    with measured():
        model = TextEmbedding(
            models.BGE_LARGE, cache_dir=str(cache), local_files_only=True, lazy_load=how == "bare"
        )
        if how == "bare":
            _make_bare(model)
        next(iter(model.embed(["hello world"])))


def _make_bare(model: TextEmbedding) -> None:
    """The session of a warm-up: nothing is packed anew, so mapped weights stay mapped."""
    options = ort.SessionOptions()
    options.add_session_config_entry("session.disable_prepacking", "1")
    inner: Any = model.model
    weights = inner._model_dir / "model.onnx"
    inner.model = ort.InferenceSession(str(weights), options, providers=["CPUExecutionProvider"])
    inner._ensure_tokenizer()


if __name__ == "__main__":
    main()
