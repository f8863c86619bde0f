"""The command line: every expected failure is one sentence with its own exit code."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import agents

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("command", ["status", "verify", "prune"])
def test_a_store_that_is_a_file(command: str, tmp_path: Path) -> None:
    """A `--store` that is a file is a mistake of set-up: exit 2 and a sentence, no traceback."""
    store = tmp_path / "store"
    store.write_text("not a directory")
    done = agents.run(command, "--store", store)
    assert done.code == 2, done.sentence
    assert "Traceback" not in "\n".join(done.lines)
    assert str(store) in done.sentence
