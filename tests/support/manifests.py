"""A manifest that has every field."""

from __future__ import annotations

from typing import Any, Final

HEX: Final = "0123456789abcdef" * 4
OTHER: Final = "fedcba9876543210" * 4
FULL: Final[dict[str, Any]] = {
    "schema": 1,
    "version": "v2",
    "created": "2026-11-23T15:00:00Z",
    "generator": "model-agent 0.1.0",
    "chunk_size": 4,
    "files": [
        {
            "path": "fastembed/models--a--b/snapshots/c/model.onnx",
            "size": 6,
            "sha256": HEX,
            "chunks": [HEX, OTHER],
            "upstream_sha256": OTHER,
        },
        {"path": "fastembed/empty", "size": 0, "sha256": HEX, "chunks": []},
    ],
    "models": [
        {
            "name": "BAAI/bge",
            "loader": "fastembed",
            "repo": "Qdrant/bge",
            "revision": HEX[:40],
            "dim": 2,
            "max_length": 512,
            "canary": {
                "texts": ["one", "two"],
                "vectors": [[0.5, 0.25], [1, -2]],
                "min_cosine": 0.99,
            },
        }
    ],
}
