"""A sentence-transformers model of a release, run without sentence-transformers.

Its weights are mapped from their own files, and half ones are widened as a run comes to them: on a
CPU a check takes little memory of its own.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import numpy as np
import onnxruntime as ort

from agent.models.runtimes import strict
from agent.models.runtimes.bert import graph, recipe, tokenizer
from agent.release import layout

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from agent.models.devices.device import Device
    from agent.release.model_ref import ModelRef

# Options of onnxruntime: the folder that weights are looked for in, and what it does not do.
FOLDER: Final = "session.model_external_initializers_file_folder_path"
_WITHOUT: Final = "optimization.disable_specified_optimizers"


class BertModel:
    """One loaded model.

    Args:
        ref: Which one.
        release: The directory of the release.
        device: The device that it must run on.

    Raises:
        NotRunError: Its files say what is not understood.
        DeviceError: It would not run there.
        Exception: Its files are damaged, or do not fit together.
    """

    def __init__(self, ref: ModelRef, release: Path, device: Device) -> None:
        began = time.perf_counter()
        directory = (release / layout.snapshot_directory(ref)).resolve()
        found = recipe.read(directory)
        self._prompt, self.max_length = found.prompt, found.max_length
        self._tokenizer = tokenizer.load(directory, found)
        self._device, self._check = device, strict.Check(device)
        self._session = strict.session(graph.build(found), device, self._options(directory))
        self.provider: str = self._session.get_providers()[0]
        self.load_seconds = time.perf_counter() - began

    def _options(self, directory: Path) -> ort.SessionOptions:
        options = self._check.options
        options.add_session_config_entry(FOLDER, str(directory))
        # Else half weights are widened when they are loaded, and stay so.
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.add_session_config_entry(_WITHOUT, "ConstantFolding")
        if self._device.kind == "cpu":
            # Else all are widened before the first layer, in every run.
            options.execution_order = ort.ExecutionOrder.PRIORITY_BASED
        return options

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Return the vectors of `texts`, in one run of the model.

        Raises:
            DeviceError: The device failed, or has too little memory for so many texts.
        """
        read = self._tokenizer.encode_batch([self._prompt + text for text in texts])
        ids = np.array([each.ids for each in read], np.int64)
        inputs = {
            graph.IDS: ids,
            graph.MASK: np.array([each.attention_mask for each in read], np.int64),
            graph.POSITIONS: np.arange(ids.shape[1], dtype=np.int64),
        }
        with strict.running_on(self._device):
            (vectors,) = self._session.run([graph.VECTORS], inputs)
        return [[float(number) for number in vector] for vector in vectors]

    def share_on_device(self) -> float:
        """Return how much of the runs until now was really computed there; call it once.

        Raises:
            DeviceError: It was not most of it.
        """
        return self._check.share(self._session)
