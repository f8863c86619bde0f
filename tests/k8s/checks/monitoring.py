"""Do alerts and dashboard ask for metrics, and labels of them, that the agent has?"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from agent.sidecar.metrics import Metrics
from tests.k8s import pods

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.k8s.rendering import Manifest

# What the Prometheus operator adds to each series of a pod, and what a histogram has.
_ADDED: Final = {"namespace", "pod", "container", "le"}
_METRIC: Final = re.compile(r"\bmodel_agent_\w+")
_BY: Final = re.compile(r"(?:by|on) \(([\w, ]+)\)")
_MATCHER: Final = re.compile(r"(\w+)(?:=~|!~|!=|=)\"")
_IN_TEXT: Final = re.compile(r"\$labels\.(\w+)|\{\{(\w+)\}\}")


def exposed() -> dict[str, set[str]]:
    """The series that the sidecar can show, and the labels of each."""
    found: dict[str, set[str]] = {}
    for collector in Metrics().registry._collector_to_names:
        labels = set(getattr(collector, "_labelnames", ()))
        for metric in collector.describe():  # type: ignore[attr-defined]  # ours all have it
            suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}
            for suffix in suffixes.get(metric.type, [""]):
                found[metric.name + suffix] = labels
    return found


def expressions(docs: list[Manifest]) -> list[tuple[str, str]]:
    """Every expression with the texts that are made from its labels, of alerts and panels."""
    rules = [
        (rule["expr"], json.dumps(rule["annotations"]))
        for doc in pods.of_kind(docs, "PrometheusRule")
        for group in doc["spec"]["groups"]
        for rule in group["rules"]
    ]
    panels = [
        (target["expr"], target.get("legendFormat", ""))
        for dashboard in dashboards(docs)
        for panel in dashboard["panels"]
        for target in panel["targets"]
    ]
    return rules + panels


def dashboards(docs: list[Manifest]) -> list[dict[str, Any]]:
    """The dashboards, which are ConfigMaps with a label that Grafana's sidecar looks for."""
    return [
        json.loads(text)
        for doc in pods.of_kind(docs, "ConfigMap")
        if "grafana_dashboard" in doc["metadata"].get("labels", {})
        for text in doc["data"].values()
    ]


def unknown(docs: list[Manifest]) -> list[str]:
    """Metrics that nothing exposes, and labels that they have not."""
    there = exposed()
    return [fault for expr, text in expressions(docs) for fault in _unknown(expr, text, there)]


def _unknown(expr: str, text: str, there: dict[str, set[str]]) -> Iterator[str]:
    metrics = set(_METRIC.findall(expr))
    if not metrics:
        yield f"no metric of ours in {expr!r}"
    yield from (f"there is no metric {name}" for name in sorted(metrics - set(there)))
    labels = {name for names in _BY.findall(expr) for name in names.split(", ")}
    labels |= set(_MATCHER.findall(expr))
    labels |= {first or second for first, second in _IN_TEXT.findall(text)}
    has = _ADDED.union(*(there.get(name, set()) for name in metrics))
    if metrics <= set(there):
        yield from (f"no label {name} in {expr!r}" for name in sorted(labels - has))
