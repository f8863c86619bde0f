"""The child process that knows FastEmbed: prints its list of models as JSON."""

from __future__ import annotations

import json
import sys

from agent.machine import children


def main() -> None:
    """Print repository, weights file and further files by model name."""
    children.die_with_parent()
    from fastembed import TextEmbedding  # noqa: PLC0415 - a second, for which a parent may be gone

    models = TextEmbedding.list_supported_models()
    known = {
        m["model"]: (m["sources"]["hf"], m["model_file"], m["additional_files"])
        for m in models
        if m["sources"]["hf"]
    }
    json.dump(known, sys.stdout)


if __name__ == "__main__":
    main()
