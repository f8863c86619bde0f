"""What `/status` says, without the paths of the machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.sidecar import status

KEEP = Path("/mnt/models")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("The share /mnt/my share is not there.", "The share … is not there."),
        ("VERSION on the share /mnt/my share: Input/output error.", None),
        ("Cannot read /etc/azure/key: denied.", "Cannot read …: denied."),
        ("Look at '/home/me/x.txt'.", "Look at '…'."),
        ("It is in /home/me/x.", "It is in …."),
        ("v2 in /mnt/models/releases/v2 is bad.", "v2 in /mnt/models/releases/v2 is bad."),
        ("/mnt/models-of-others/x is bad.", "… is bad."),
        ("The worker answered /reload with 500.", "The worker answered /reload with 500."),
        ("releases/v2/fastembed/a on azurefiles://account/share/p.", None),
        ("See https://host/a/b and host.example/a/b.", None),
        ("onnx/model.onnx/x", "onnx/model.onnx/x"),
        ("It is at unix:///run/agent/worker.sock, which hangs.", "It is at unix://…, which hangs."),
    ],
)
def test_paths_are_hidden(text: str, shown: str | None) -> None:
    """Paths of this machine are hidden, but for those in the store; all else is shown."""
    if shown is None:
        shown = text.replace("/mnt/my share", "…")
    assert status.paths(text, keep=KEEP, hide="/mnt/my share") == shown


def test_they_are_hidden_at_any_depth() -> None:
    """Lists and objects are looked through; numbers and the like stay."""
    value = {"a": [{"b": "/x/y"}, 1, None, True], "c": ("/x/y",)}
    hidden = {"a": [{"b": "…"}, 1, None, True], "c": ["…"]}
    assert status.paths(value, keep=KEEP, hide=None) == hidden
