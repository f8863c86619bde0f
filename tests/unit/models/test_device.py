"""Which device a model runs on, as flags, environment and the machine say."""

from __future__ import annotations

import pytest

from agent.models.devices import device as devices
from agent.models.devices.device import CPU, Device


@pytest.mark.parametrize("text", ["auto", "cpu", "cuda", "cuda:0", "cuda:7"])
def test_what_may_be_asked_for(text: str) -> None:
    """A device by its kind, and a GPU by its place among the visible ones."""
    assert devices.request(text) == text


@pytest.mark.parametrize("text", ["", "gpu", "CUDA", "cuda:", "cuda:-1", "cpu:0", "cuda:1000"])
def test_what_may_not(text: str) -> None:
    """Anything else is refused before it is tried."""
    with pytest.raises(ValueError, match="cuda:N"):
        devices.request(text)


@pytest.mark.parametrize(
    ("asked", "chosen"),
    [
        ("cpu", CPU),
        ("cuda", Device("cuda")),
        ("cuda:0", Device("cuda")),
        ("cuda:3", Device("cuda", 3)),
    ],
)
def test_what_is_asked_for_is_taken(asked: str, chosen: Device) -> None:
    """Whatever the machine has: what cannot be had fails later, and says why."""
    assert devices.choose(asked) == chosen


@pytest.mark.parametrize("value", ["", " ", "-1", "-1,0", "NoDevFiles"])
def test_auto_sees_what_is_hidden(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`CUDA_VISIBLE_DEVICES` hides all GPUs with these values, and `auto` says so."""
    monkeypatch.setattr(devices, "has_nodes", lambda: True)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    assert devices.choose("auto") == CPU
    assert str(devices.why_none()) == f"CUDA_VISIBLE_DEVICES is {value!r}"


@pytest.mark.parametrize("value", [None, "0", "1,0", "GPU-8f6b", "MIG-3c1a,-1"])
def test_auto_is_cuda_where_a_gpu_is_in_sight(
    value: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where an NVIDIA device is visible, by number, UUID or MIG slice, `auto` is as strict."""
    monkeypatch.setattr(devices, "has_nodes", lambda: True)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if value is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    assert devices.choose("auto") == Device("cuda")
    assert devices.why_none() is None


def test_auto_is_the_cpu_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """No device in sight is no mistake, and is said."""
    monkeypatch.setattr(devices, "has_nodes", lambda: False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert devices.choose("auto") == CPU
    assert devices.why_none() == "no NVIDIA device is in sight"


def test_a_device_s_names() -> None:
    """What people, onnxruntime and torch call it."""
    assert [str(device) for device in (CPU, Device("cuda"), Device("cuda", 1))] == [
        "cpu",
        "cuda",
        "cuda:1",
    ]
    assert CPU.providers == ["CPUExecutionProvider"]
    assert Device("cuda", 1).providers == [("CUDAExecutionProvider", {"device_id": 1})]
