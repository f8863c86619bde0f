"""What is not needed is not imported: an idle sidecar's memory is its imports."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {"azure", "stamina", "requests", "huggingface_hub", "fastembed", "onnxruntime", "numpy"}
HEAVY |= {"model_signing", "sigstore", "cryptography", "lightkube", "httpx2"}


@pytest.mark.parametrize(
    "module", ["agent.cli", "agent.sidecar.loop", "agent.sync.init", "agent.worker"]
)
def test_nothing_heavy(module: str) -> None:
    """On a directory share no part of Azure, the Hub or a model's runtime is loaded."""
    code = f"import sys, {module}; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not HEAVY & set(done.stdout.split())
