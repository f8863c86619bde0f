"""Does the API server know every field, and every word that a field may have?"""

from __future__ import annotations

import importlib
import json
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from tests.k8s.pods import label, walk

if TYPE_CHECKING:
    from tests.k8s.rendering import Manifest

NATIVE_SIDECARS: Final = ("1.29", "1.32", "1.37")
# The schemas know core Kubernetes only.
FOREIGN: Final = {"PodMonitor", "PrometheusRule"}

_CONTAINERS: Final = ("containers", "initContainers")
_RESTARTS: Final = {"Always", "OnFailure", "Never"}
# Enums that the schemas lack, by the last two names of the path; "*" is any name.
_WORDS: Final[dict[tuple[str, str], set[str]]] = {
    ("initContainers", "restartPolicy"): {"Always"},
    ("spec", "restartPolicy"): _RESTARTS,
    ("*", "imagePullPolicy"): {"Always", "IfNotPresent", "Never"},
    ("*", "terminationMessagePolicy"): {"File", "FallbackToLogsOnError"},
    ("*", "protocol"): {"TCP", "UDP", "SCTP"},
    ("tolerations", "operator"): {"Exists", "Equal"},
    ("tolerations", "effect"): {"NoSchedule", "PreferNoSchedule", "NoExecute"},
    ("*", "whenUnsatisfiable"): {"DoNotSchedule", "ScheduleAnyway"},
    ("securityContext", "fsGroupChangePolicy"): {"OnRootMismatch", "Always"},
    ("seccompProfile", "type"): {"RuntimeDefault", "Localhost", "Unconfined"},
    ("strategy", "type"): {"RollingUpdate", "Recreate"},
    ("*", "accessModes"): {
        "ReadWriteOnce",
        "ReadOnlyMany",
        "ReadWriteMany",
        "ReadWriteOncePod",
    },
    ("*", "persistentVolumeReclaimPolicy"): {"Retain", "Delete", "Recycle"},
    ("*", "policyTypes"): {"Ingress", "Egress"},
    ("hostPath", "type"): {"", "Directory", "DirectoryOrCreate", "File", "FileOrCreate"},
    ("fieldRef", "fieldPath"): {"metadata.name", "metadata.namespace", "metadata.uid"},
    ("*", "dnsPolicy"): {"ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"},
}
# Drivers and other programs have words of their own under these.
_FREE: Final = {"volumeAttributes", "data", "annotations", "labels"}


def invalid(docs: list[Manifest], version: str) -> list[str]:
    """What Kubernetes of this version would refuse, by its own schemas."""
    known = [doc for doc in docs if doc["kind"] not in FOREIGN]
    return [fault for doc in known if (fault := _invalid(json.dumps(doc), version))]


def wrong_words(docs: list[Manifest]) -> list[str]:
    """Words that no version of Kubernetes knows, in fields for which the schemas say any string."""
    return [fault for doc in docs if doc["kind"] not in FOREIGN for fault in _wrong_words(doc)]


@cache
def _invalid(text: str, version: str) -> str | None:
    validator = importlib.import_module("kubernetes_validate")
    doc = json.loads(text)
    try:
        validator.validate(doc, version, strict=True)
    except (validator.ValidationError, validator.SchemaNotFoundError) as error:
        return f"{label(doc)} for {version}: {error.message}"
    return None


def _wrong_words(doc: Manifest) -> list[str]:
    faults = []
    for path, value in walk(doc):
        if not path or _FREE.intersection(path):
            continue
        parent, name = (path[-2] if len(path) > 1 else ""), path[-1]
        allowed = _WORDS.get((parent, name)) or _WORDS.get(("*", name))
        if allowed is None and name == "restartPolicy" and parent in _CONTAINERS:
            # Ordinary containers got one with Kubernetes 1.34 only.
            faults.append(f"{label(doc)}: a container of the pod has a restartPolicy")
        words = value if isinstance(value, list) else [value]
        if allowed and not all(_is_word(word, allowed) for word in words):
            faults.append(f"{label(doc)}: {'.'.join(path)} is {value!r}")
    return faults + _restarts(doc)


def _is_word(word: Any, allowed: set[str]) -> bool:
    return isinstance(word, str) and word in allowed


def _restarts(doc: Manifest) -> list[str]:
    """Pods of a Deployment always restart, those of a Job never do by themselves."""
    if doc["kind"] not in {"Deployment", "Job"}:
        return []
    policy = doc["spec"]["template"]["spec"].get("restartPolicy", "Always")
    fits = (policy == "Always") == (doc["kind"] == "Deployment")
    return [] if fits else [f"{label(doc)}: restartPolicy {policy} is refused there"]
