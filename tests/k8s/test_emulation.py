"""What runs pods as they are written knows every field of ours, and passes over none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from tests.containers.emulation import pod_spec
from tests.containers.emulation.engine import refuse_missing
from tests.containers.emulation.files import Volumes
from tests.k8s import pods
from tests.k8s.rendering import BASE, OVERLAYS, combine, render

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("overlay", [BASE, *OVERLAYS])
def test_every_field_is_known(overlay: str) -> None:
    """Of every pod that is rendered."""
    for workload in pods.workloads(render(overlay)):
        spec = pod_spec(workload)
        assert len(spec.containers) == len(pods.pod(workload)["containers"])


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ([], {"hostNetwork": True}),
        (["securityContext"], {"runAsNonRoot": False}),
        (["containers", 0], {"tty": True}),
        (["containers", 0], {"imagePullPolicy": "Always"}),
        (["containers", 0, "securityContext"], {"privileged": True}),
        (["containers", 0, "readinessProbe", "httpGet"], {"scheme": "HTTPS"}),
        (["initContainers", 1], {"restartPolicy": "OnFailure"}),
        (["volumes", 0], {"nfs": {"server": "s", "path": "/"}}),
    ],
    ids=str,
)
def test_another_is_refused(path: list[str | int], field: dict[str, Any]) -> None:
    """A field or a value that nothing is done for, wherever it stands."""
    workload = pods.deployment(render(BASE))
    where: Any = pods.pod(workload)
    for step in path:
        where = where[step]
    where |= field
    with pytest.raises(msgspec.ValidationError, match=r"unknown field|Invalid|Expected"):
        pod_spec(workload)


def test_a_projected_volume_is_not_made_here(tmp_path: Path) -> None:
    """Its token would be an API server's: that is said, rather than an empty directory mounted."""
    docs = render("events")
    spec = pod_spec(pods.deployment(docs))
    with pytest.raises(ValueError, match="kubernetes-api is projected"):
        Volumes(spec, tmp_path, docs, {"ml-models": tmp_path})


def test_fields_of_a_pod_are_not_known_here(tmp_path: Path) -> None:
    """A variable of them is refused, rather than given empty."""
    docs = combine(tmp_path, ["local-share", "cpu", "events"])
    spec = pod_spec(pods.deployment(docs))
    with pytest.raises(ValueError, match="fields for POD_NAME"):
        refuse_missing(spec)
