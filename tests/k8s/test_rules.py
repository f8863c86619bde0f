"""The alerts fire when they should, by Prometheus' own tool (Debian's package `prometheus`)."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml  # type: ignore[import-untyped]  # without types

from tests.k8s import pods
from tests.k8s.rendering import render

if TYPE_CHECKING:
    from pathlib import Path

POD: Final = 'namespace="ns",pod="p"'


def series(name: str, values: str, labels: str = POD) -> dict[str, str]:
    """One series of a test, a value a minute."""
    return {"series": f"model_agent_{name}{{{labels}}}", "values": values}


def release(desired: str, active: str, values: str) -> dict[str, str]:
    """The series that shows a pod's releases."""
    labels = f'{POD},desired="{desired}",active="{active}",worker="{active}"'
    return series("release_info", values, labels)


CASES: Final[list[tuple[str, list[dict[str, str]], str, dict[str, str] | None]]] = [
    ("ModelAgentBehindMarker", [release("v2", "v1", "1x20")], "11m", {"desired": "v2"}),
    ("ModelAgentBehindMarker", [release("v2", "", "1x20")], "11m", {"desired": "v2"}),
    ("ModelAgentBehindMarker", [release("v2", "v1", "1x20")], "9m", None),
    ("ModelAgentBehindMarker", [release("v2", "v2", "1x20")], "15m", None),
    ("ModelAgentBehindMarker", [release("", "v1", "1x20")], "15m", None),
    (
        "ModelAgentBehindMarker",
        [release("v2", "v1", "1x5 stale"), release("v2", "v2", "_x6 1x20")],
        "20m",
        None,
    ),
    (
        "ModelAgentReloadFailing",
        [series("reload_failures_total", "0x2 1x2 2x30"), release("v2", "v1", "1x34")],
        "15m",
        {},
    ),
    (
        "ModelAgentReloadFailing",
        [
            series("reload_failures_total", "0x2 1x2 2x30"),
            release("v2", "v1", "1x8 stale"),
            release("v2", "v2", "_x9 1x25"),
        ],
        "15m",
        None,
    ),
    # Once is no series of failures, and half an hour later it is over.
    ("ModelAgentReloadFailing", [series("reload_failures_total", "0x20")], "15m", None),
    (
        "ModelAgentReloadFailing",
        [series("reload_failures_total", "0x2 1x30"), release("v2", "v1", "1x32")],
        "15m",
        None,
    ),
    (
        "ModelAgentReloadFailing",
        [series("reload_failures_total", "0x2 1x2 2x60"), release("v2", "v1", "1x64")],
        "50m",
        None,
    ),
    ("ModelAgentQuarantine", [series("quarantined_releases", "1x20")], "1m", {}),
    ("ModelAgentQuarantine", [series("quarantined_releases", "0x20")], "15m", None),
    ("ModelAgentShareUnreachable", [series("share_reachable", "0x20")], "6m", {}),
    ("ModelAgentShareUnreachable", [series("share_reachable", "0x2 1x20")], "15m", None),
    ("ModelAgentStoreRotten", [series("rotten_files", "2x20")], "6m", {}),
    ("ModelAgentStoreRotten", [series("rotten_files", "2x2 0x20")], "15m", None),
    (
        "ModelAgentStoreNearlyFull",
        [series("store_used_bytes", "95x20"), series("store_limit_bytes", "100x20")],
        "16m",
        {},
    ),
    (
        "ModelAgentStoreNearlyFull",
        [series("store_used_bytes", "85x20"), series("store_limit_bytes", "100x20")],
        "16m",
        None,
    ),
]


def promtool() -> str:
    """Prometheus' tool; without it the test is skipped, or fails where it is required."""
    found = os.environ.get("PROMTOOL") or shutil.which("promtool")
    if not found:
        reason = "No promtool is on the path, and PROMTOOL is not set (apt: prometheus)."
        if os.environ.get("REQUIRE_PROMTOOL") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


def test_alerts_fire_when_they_should_and_only_then(tmp_path: Path) -> None:
    """Each alert fires after its time in the state that it is for, and in no healthy one."""
    rules = pods.of_kind(render("monitoring"), "PrometheusRule")[0]["spec"]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(rules))
    file = tmp_path / "tests.yml"
    file.write_text(yaml.safe_dump({"rule_files": ["rules.yml"], "tests": _tests(rules)}))
    done = subprocess.run(
        [promtool(), "test", "rules", str(file)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _tests(rules: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "interval": "1m",
            "input_series": given,
            "alert_rule_test": [{"alertname": alert, "eval_time": at, "exp_alerts": fired}],
        }
        for alert, given, at, labels in CASES
        for fired in [[] if labels is None else [_fired(rules, alert, labels)]]
    ]


def _fired(rules: dict[str, Any], alert: str, labels: dict[str, str]) -> dict[str, Any]:
    rule = next(r for r in rules["groups"][0]["rules"] if r["alert"] == alert)
    value = {"ModelAgentQuarantine": "1", "ModelAgentStoreNearlyFull": "95%"}.get(alert, "")
    texts = {}
    for name, template in rule["annotations"].items():
        text = template.replace("{{ $labels.pod }}", "p").replace("{{ $value }}", value)
        text = text.replace("{{ $labels.desired }}", labels.get("desired", ""))
        texts[name] = text.replace("{{ $value | humanizePercentage }}", value)
    return {
        "exp_labels": {"namespace": "ns", "pod": "p", **rule["labels"], **labels},
        "exp_annotations": texts,
    }
