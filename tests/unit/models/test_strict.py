"""Sessions run where they were told to, or not at all; the profile of a run says where it did."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from agent.models.devices.device import CPU, Device
from agent.models.devices.device_error import DeviceError
from agent.models.runtimes import strict


@pytest.fixture
def profile(tiny_dir: Path, tmp_path: Path) -> Path:
    """What onnxruntime writes of a run on the CPU."""
    options = ort.SessionOptions()
    options.enable_profiling = True
    options.profile_file_prefix = str(tmp_path / "run")
    session = strict.session(tiny_dir / "model.onnx", CPU, options)
    text = np.ones((1, 4), np.int64)
    session.run(None, {each.name: text for each in session.get_inputs()})
    return Path(session.end_profiling())


def test_a_run_on_the_device_is_known_by_its_nodes(profile: Path) -> None:
    """All nodes of a run on the CPU were computed there."""
    assert strict.require_most_on(CPU, profile) == 1.0


def test_a_run_elsewhere_is_no_run_on_the_device(profile: Path) -> None:
    """A session that calls itself CUDA's, and computes on the CPU, does not pass."""
    with pytest.raises(DeviceError, match=r"CPU build|No GPU|CPUExecutionProvider"):
        strict.require_most_on(Device("cuda"), profile)


def test_a_model_that_does_not_load_is_not_the_device_s_fault(tmp_path: Path) -> None:
    """What onnxruntime says of a damaged model is passed on as it is."""
    (tmp_path / "model.onnx").write_bytes(b"no model")
    with pytest.raises(Exception, match=r"model\.onnx") as caught:
        strict.session(tmp_path / "model.onnx", CPU, ort.SessionOptions())
    assert not isinstance(caught.value, DeviceError)
