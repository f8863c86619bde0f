"""The memory that this process may take, by its control groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from agent.machine import memory

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("files", "group", "expected"),
    [
        ({"memory.max": "max\n"}, "0::/\n", None),
        ({"memory.max": "536870912\n"}, "0::/\n", 512 * MIB),
        ({"pod/memory.max": "1073741824\n"}, "0::/pod\n", 1024 * MIB),
        ({"memory/memory.limit_in_bytes": "9223372036854771712\n"}, "3:memory:/\n", None),
        (
            {
                "memory/memory.limit_in_bytes": "9223372036854771712\n",
                "memory/pod/memory.limit_in_bytes": "536870912\n",
            },
            "3:memory:/pod\n2:cpu:/pod\n",
            512 * MIB,
        ),
        ({}, None, None),
    ],
    ids=["v2-none", "v2-container", "v2-host", "v1-none", "v1-host", "nothing"],
)
def test_the_limit(
    files: dict[str, str],
    group: str | None,
    expected: int | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is found for either version of control groups, inside a container and outside."""
    for name, text in files.items():
        path = tmp_path / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    own = tmp_path / "own"
    if group is not None:
        own.write_text(group)
    monkeypatch.setattr(memory, "_CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(memory, "_OWN", own)
    assert memory.limit_bytes() == expected
