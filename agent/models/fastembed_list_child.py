"""The child process that knows FastEmbed: prints its list of models as JSON."""

from __future__ import annotations

import json
import sys

from agent.machine import children


def main() -> None:
    """Print repository, weights file, further files and kind by model name."""
    children.die_with_parent()
    from agent.models import fastembed_lists  # noqa: PLC0415 - a second, for which a parent may be gone

    json.dump(fastembed_lists.known(), sys.stdout)


if __name__ == "__main__":
    main()
