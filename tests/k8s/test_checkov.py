"""A second opinion on the manifests' security: checkov, whose rules are others' than ours."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml  # type: ignore[import-untyped]  # without types

from tests.k8s import pods
from tests.k8s.rendering import BASE, OVERLAYS, render

if TYPE_CHECKING:
    from pathlib import Path

    from tests.k8s.rendering import Manifest

# What is not followed anywhere, and why.
SKIPPED: Final = {
    "CKV_K8S_11": "a CPU limit throttles a worker that the node has time for",
    "CKV_K8S_15": "a tag that never moves brings nothing new; images made here are nowhere else",
    "CKV_K8S_21": "the namespace is the user's, in the user's overlay",
    "CKV_K8S_43": "a digest is known once an image is in a registry, which is the user's",
}
# An ordinary sidecar has no readinessProbe for the same reason as a native one, which checkov does
# not look at: a share that is away must not take the worker out of its Service.
EXPECTED: Final = {("CKV_K8S_9", "/plain-sidecar.yaml")}


def failed(directory: Path) -> set[tuple[str, str]]:
    """The rules that manifests in a directory break, each with the file; skipped where it lacks."""
    program = os.environ.get("CHECKOV") or shutil.which("checkov")
    if not program:
        reason = (
            "No checkov is on the path, and CHECKOV is not set (pip, an environment of its own)."
        )
        if os.environ.get("REQUIRE_CHECKOV") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    done = subprocess.run(
        [
            *(program, "--directory", str(directory), "--framework", "kubernetes"),
            # Offline: it would ask for the texts of its rules.
            *("--skip-download", "--quiet", "--compact", "--output", "json"),
            *("--skip-check", ",".join(SKIPPED)),
        ],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
        env=os.environ | {"LOG_LEVEL": "ERROR"},
    )
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["summary"]["parsing_errors"] == 0
    return {(check["check_id"], check["file_path"]) for check in report["results"]["failed_checks"]}


def write(path: Path, docs: list[Manifest]) -> None:
    """Put manifests into a file."""
    path.write_text(yaml.safe_dump_all(docs))


def test_checkov_finds_nothing_but_what_is_skipped_with_a_reason(tmp_path: Path) -> None:
    """Every overlay passes all of its rules but those above; a broken one does not."""
    for name in (BASE, *OVERLAYS):
        write(tmp_path / f"{name}.yaml", render(name))
    broken = render(BASE)
    worker = pods.container(pods.deployment(broken), pods.WORKER)
    worker["securityContext"]["privileged"] = True
    write(tmp_path / "broken.yaml", broken)
    assert failed(tmp_path) == EXPECTED | {("CKV_K8S_16", "/broken.yaml")}
