"""The child process that knows FastEmbed: prints its list of models as JSON."""

from __future__ import annotations

import json
import sys

from fastembed import TextEmbedding


def main() -> None:
    """Print repository and weights file by model name."""
    models = TextEmbedding.list_supported_models()
    known = {m["model"]: (m["sources"]["hf"], m["model_file"]) for m in models}
    json.dump({name: found for name, found in known.items() if found[0]}, sys.stdout)


if __name__ == "__main__":
    main()
