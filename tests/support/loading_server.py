"""Loads models as workers do, again and again; a program for an environment with the loaders.

It imports nothing of this project. Each line on stdin is JSON, `[how, directory, name, text]`; the
answer is a line of JSON: the vector, or a text that says why there is none.
"""

from __future__ import annotations

import json
import os
import sys

os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}


def load(how: str, directory: str, name: str, text: str) -> list[float]:
    """Return the vector of a text by stock FastEmbed, or by sentence-transformers from a path."""
    if how == "fastembed":
        from fastembed import TextEmbedding

        model = TextEmbedding(name, cache_dir=directory, local_files_only=True, threads=1)
        return [float(x) for x in next(iter(model.embed([text])))]
    from sentence_transformers import SentenceTransformer

    sentences = SentenceTransformer(name, cache_folder=directory, device="cpu")
    return [float(x) for x in sentences.encode([text])[0]]


def main() -> None:
    """Answer until stdin ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    for line in sys.stdin:
        try:
            answer: object = load(*json.loads(line))
        except Exception as error:  # noqa: BLE001 - whatever a loader raises is its answer
            answer = f"{type(error).__name__}: {error}"
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
