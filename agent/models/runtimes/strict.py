"""Sessions of onnxruntime that run on the device that was asked for, or not at all.

By itself onnxruntime falls back to the CPU, with no more than a warning, when CUDA fails.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import weakref
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import onnxruntime as ort

from agent.models.devices import causes, gathering
from agent.models.devices.device_error import DeviceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.models.devices.device import Device

# Shapes and sizes are computed on the CPU in every session; they are few beside a model's layers.
_MOST: Final = 0.5


class Check:
    """Options of a session that is only checked, and the proof of where its runs were computed.

    On a CPU prepacking is off, so that a check of a load-optimised bge-large fits into 512 MiB; on
    a GPU runs are profiled.
    """

    def __init__(self, device: Device) -> None:
        self.options = ort.SessionOptions()
        self._device = device
        if device.kind == "cpu":
            self.options.add_session_config_entry("session.disable_prepacking", "1")
        else:
            profiles = tempfile.mkdtemp(prefix="model-agent-profile-")
            weakref.finalize(self, shutil.rmtree, profiles, ignore_errors=True)
            self.options.enable_profiling = True
            self.options.profile_file_prefix = str(Path(profiles) / "run")

    def share(self, session: ort.InferenceSession) -> float:
        """Return how much of the runs until now was really computed there; call it once.

        Raises:
            DeviceError: It was not most of it.
        """
        if not self.options.enable_profiling:
            return 1.0
        return require_most_on(self._device, Path(session.end_profiling()))


def session(
    model: Path | bytes, device: Device, options: ort.SessionOptions
) -> ort.InferenceSession:
    """Open a session on `device`, of a model's file or of its bytes.

    Raises:
        DeviceError: CUDA is not usable, or has too little memory.
        Exception: Whatever onnxruntime raises for a model that does not load.
    """
    if device.provider not in ort.get_available_providers():
        raise DeviceError(gathering.of_onnxruntime(device, ""))
    if device.kind == "cuda":
        ort.preload_dlls()
    with running_on(device):
        made = ort.InferenceSession(
            model if isinstance(model, bytes) else str(model),
            options,
            providers=device.providers,
            enable_fallback=0,
        )
    if made.get_providers()[0] != device.provider:
        raise DeviceError(gathering.of_onnxruntime(device, ""))
    return made


@contextmanager
def running_on(device: Device) -> Iterator[None]:
    """Raise `DeviceError` in place of an error that is the device's and not the model's."""
    try:
        yield
    except Exception as error:
        said = " ".join(str(error).split())
        if device.kind == "cuda" and (causes.is_cudas(said) or causes.out_of_memory(said)):
            raise DeviceError(gathering.of_onnxruntime(device, said)) from error
        raise


def require_most_on(device: Device, profile: Path) -> float:
    """Return the share of a run's nodes that were computed on `device`.

    A session may be on a GPU and still have most of its model computed on the CPU: every operator
    that has no kernel there, such as those of int8 weights, is placed on the CPU in silence.

    Args:
        device: The device that it was to run on.
        profile: The file that `InferenceSession.end_profiling` wrote of a run.

    Raises:
        DeviceError: Most of them were computed elsewhere.
    """
    counts = Counter(
        event["args"]["provider"]
        for event in json.loads(profile.read_bytes())
        if event.get("cat") == "Node" and event.get("args", {}).get("provider")
    )
    share = counts[device.provider] / max(1, counts.total())
    if share < _MOST:
        others = ", ".join(f"{count} on {name}" for name, count in counts.most_common())
        raise DeviceError(gathering.of_onnxruntime(device, f"the nodes of a run were {others}"))
    return share
