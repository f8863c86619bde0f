"""A pod whose share has a signed release, and the tool that others check signatures with."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from agent.release import manifest
from tests.support.pods import Pod

if TYPE_CHECKING:
    from tests.support.keys import Key

FILES: Final = {"model.onnx": b"weights" * 20_000, "tokenizer.json": b"{}"}
_TOOL: Final = Path(sys.executable).with_name("model_signing")


class SignedPod(Pod):
    """A pod whose share has a signed release v1, which the marker names; its store is empty."""

    def __init__(self, root: Path, key: Key) -> None:
        super().__init__(root)
        self.share.add_files("v1", FILES)
        self.share.mark("v1")
        key.sign(self.share, "v1")

    @property
    def signature(self) -> Path:
        """That of v1 on the share."""
        return self.share.release("v1") / manifest.SIGNATURE

    def assert_nothing_came(self) -> None:
        """Nothing is active, and not one byte of a release was staged."""
        assert self.active() is None
        assert not [path for path in self.store.rglob("*") if path.name in FILES]


def checked_by_the_tool(release: Path, key: Key) -> subprocess.CompletedProcess[str]:
    """What `model_signing` itself says of a release, hashing all of it."""
    flags = ("--signature", str(release / manifest.SIGNATURE), "--public_key", str(key.public))
    command = [str(_TOOL), "verify", "key", str(release), *flags]
    return subprocess.run(command, capture_output=True, text=True, check=False)
