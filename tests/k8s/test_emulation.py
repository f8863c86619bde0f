"""What runs pods as they are written knows every field of ours, and passes over none."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.containers.emulation import pod_spec
from tests.k8s import pods
from tests.k8s.rendering import BASE, OVERLAYS, render


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
