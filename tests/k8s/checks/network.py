"""Do ports and selectors lead to something, and is every pod covered?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tests.k8s import pods
from tests.k8s.pods import containers, label, of_kind, pod, pod_labels, workloads

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.k8s.rendering import Manifest

_PROBES: Final = ("startupProbe", "livenessProbe", "readinessProbe")


def unreachable(docs: list[Manifest], there: list[Manifest]) -> Iterator[str]:
    """What leads nowhere, or is not covered; `there` is all that is in the cluster then."""
    yield from (fault for doc in workloads(docs) for fault in _probe_ports(doc))
    yield from _selectors(docs, there)
    yield from _service_ports(docs)
    yield from _uncovered(docs)
    yield from _policy_ports(docs)


def _probe_ports(doc: Manifest) -> Iterator[str]:
    for each in containers(doc):
        ports = _ports([each])
        for probe in _PROBES:
            spec = each.get(probe, {})
            action = spec.get("httpGet") or spec.get("tcpSocket") or {}
            port = action.get("port")
            if port is not None and port not in ports:
                yield f"{label(doc)}: {probe} of {each['name']} asks port {port}"


def _ports(several: list[dict[str, Any]]) -> set[str | int]:
    """Names and numbers of the ports of containers."""
    ports = [port for each in several for port in each.get("ports", [])]
    return {p["containerPort"] for p in ports} | {p["name"] for p in ports if "name" in p}


def _selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    wanted: dict[str, str] = selector.get("matchLabels", selector)
    return bool(wanted) and wanted.items() <= labels.items()


def _selectors(docs: list[Manifest], there: list[Manifest]) -> Iterator[str]:
    all_pods = [pod_labels(doc) for doc in workloads(there)]
    for doc in of_kind(docs, "Service", "PodDisruptionBudget", "NetworkPolicy", "PodMonitor"):
        field = "podSelector" if doc["kind"] == "NetworkPolicy" else "selector"
        if not any(_selects(doc["spec"][field], labels) for labels in all_pods):
            yield f"{label(doc)} selects no pod"
    for doc in of_kind(docs, "Deployment"):
        own = [doc["spec"]["selector"]]
        own += [
            each["labelSelector"]
            for path, each in pods.walk(pod(doc))
            if isinstance(each, dict) and "labelSelector" in each and path
        ]
        if not all(_selects(selector, pod_labels(doc)) for selector in own):
            yield f"{label(doc)}: a selector does not select its own pods"


def _service_ports(docs: list[Manifest]) -> Iterator[str]:
    for doc in of_kind(docs, "Service", "PodMonitor"):
        selected = [w for w in workloads(docs) if _selects(doc["spec"]["selector"], pod_labels(w))]
        there = _ports([each for w in selected for each in containers(w)])
        field = "ports" if doc["kind"] == "Service" else "podMetricsEndpoints"
        endpoints = doc["spec"][field]
        for endpoint in endpoints:
            port = endpoint.get("targetPort", endpoint["port"])
            if port not in there:
                yield f"{label(doc)} leads to port {port}, which no container has"


def _policy_ports(docs: list[Manifest]) -> Iterator[str]:
    """A NetworkPolicy lets in what listens, and nothing else; DNS and https out."""
    for doc in of_kind(docs, "NetworkPolicy"):
        selected = [
            w for w in workloads(docs) if _selects(doc["spec"]["podSelector"], pod_labels(w))
        ]
        listening = {
            port["containerPort"]
            for w in selected
            for each in containers(w)
            for port in each.get("ports", [])
        }
        let_in = {p["port"] for rule in doc["spec"].get("ingress", []) for p in rule["ports"]}
        let_out = {p["port"] for rule in doc["spec"].get("egress", []) for p in rule["ports"]}
        if let_in != listening:
            yield f"{label(doc)} lets in {sorted(let_in)}, and {sorted(listening)} listen"
        if let_out != {53, 443} or set(doc["spec"]["policyTypes"]) != {"Ingress", "Egress"}:
            yield f"{label(doc)} lets out {sorted(let_out)}"


def _uncovered(docs: list[Manifest]) -> Iterator[str]:
    """Pods without a NetworkPolicy, Deployments without a PodDisruptionBudget."""
    for doc in workloads(docs):
        policies = [d["spec"]["podSelector"] for d in of_kind(docs, "NetworkPolicy")]
        if not any(_selects(selector, pod_labels(doc)) for selector in policies):
            yield f"{label(doc)}: no NetworkPolicy is for its pods"
        budgets = [d["spec"]["selector"] for d in of_kind(docs, "PodDisruptionBudget")]
        wants = doc["kind"] == "Deployment"
        if wants and not any(_selects(selector, pod_labels(doc)) for selector in budgets):
            yield f"{label(doc)}: no PodDisruptionBudget is for its pods"
