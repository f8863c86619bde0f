"""What the doctor makes of what it observes: findings, rates, variables, misplaced models."""

from __future__ import annotations

import json

import pytest

from agent.doctor.judge import findings, misplaced, rates, variables
from agent.doctor.judge.findings import Finding
from agent.doctor.judge.rates import MIB, Sample
from agent.doctor.judge.variables import Process
from agent.errors import ConfigError, UnreachableError
from agent.release.model_ref import ModelRef
from agent.release.tree import Node
from agent.release.wanted import Wanted

STORE = "/mnt/models"
BGE = Wanted(ModelRef("BAAI/bge", "fastembed", "Qdrant/bge-onnx"), "model.onnx")
MINILM = Wanted(ModelRef("org/minilm", "sentence-transformers", "org/minilm"))


def test_one_line_a_finding() -> None:
    """Level, check, diagnosis, what was seen and the remedy stand in one line, in columns."""
    error = ConfigError("It is wrong.", remedy="Right it.")
    lines = [
        findings.line(Finding("ok", "It is well.", check="share")),
        findings.line(Finding("warn", "So\nso.", "Look.", "slow share", "speed")),
        findings.line(findings.fail(error)),
    ]
    assert lines == [
        "ok    share        It is well.",
        "warn  speed        slow share: So?so. Look.",
        "fail               It is wrong. Right it.",
    ]


def test_the_first_failure_gives_the_exit_code() -> None:
    """Warnings and what was skipped ask for 0; of several failures the first one counts."""
    found = [findings.ok("A."), findings.warn("B.", "C."), findings.skip("D.")]
    assert findings.first_failure(found) is None
    assert json.loads(findings.as_json(found))["exit_code"] == 0
    found.append(
        findings.fail(UnreachableError("E.", remedy="F."), diagnosis="share not reachable")
    )
    found.append(findings.fail(ConfigError("G.", remedy="H.")))
    report = json.loads(findings.as_json(found))
    assert report["exit_code"] == 3
    assert [each["exit_code"] for each in report["findings"]] == [0, 0, 0, 3, 2]
    assert report["findings"][3] == {
        "level": "fail",
        "check": "",
        "diagnosis": "share not reachable",
        "seen": "E.",
        "remedy": "F.",
        "exit_code": 3,
    }
    assert report["findings"][0]["remedy"] is report["findings"][0]["diagnosis"] is None


@pytest.mark.parametrize(
    ("mib", "level", "shown"), [(39.9, "warn", "39.9"), (40, "ok", "40.0"), (250, "ok", "250")]
)
def test_slow_is_below_forty(mib: float, level: str, shown: str) -> None:
    """Below 40 MiB/s the share is called slow; what can be expected stands beside it."""
    found = rates.judge(Sample(int(mib * MIB), 1.0), release_size=100 * MIB)
    assert found.level == level
    assert found.diagnosis == ("slow share" if level == "warn" else "")
    assert f"reads at {shown} MiB/s" in found.seen
    assert "a standard share gives 60 MiB/s a file, a premium one 200-300" in found.seen


def test_nothing_read_in_no_time() -> None:
    """A file that gave no bytes is slow, and no division by zero."""
    for seconds in (0.0, 5.0):
        assert rates.judge(Sample(0, seconds), release_size=1).level == "warn"


def test_a_small_file_tells_nothing() -> None:
    """There is no verdict where the largest file is small."""
    found = rates.too_small("releases/v1/x", 1024)
    assert (found.level, found.seen) == (
        "skip",
        "No verdict: the largest file, releases/v1/x, has only 1.0 KiB.",
    )


RIGHT = {name: f"{STORE}/{where}" for name, where in variables.DIRECTORIES.items()}
NOBODY = Process("this environment")


def test_right_variables() -> None:
    """Variables that lead into the store are well, whichever of them are set."""
    for chosen in (RIGHT, {"HF_HOME": f"{STORE}/huggingface/"}):
        (found,) = variables.judge([Process("worker", chosen), Process("pause")], NOBODY, STORE)
        assert found.level == "ok"
        assert all(name in found.seen for name in chosen)
    (found,) = variables.judge([], Process("this environment", RIGHT), STORE)
    assert (found.level, "this environment" in found.seen) == ("ok", True)


def test_wrong_variables() -> None:
    """Variable, value and expected value are named, once however many processes have it."""
    wrong = RIGHT | {"FASTEMBED_CACHE_PATH": "/models/fastembed"}
    processes = [Process("process 7 (app)", wrong), Process("process 8 (app)", wrong)]
    (found,) = variables.judge(processes, NOBODY, STORE)
    assert (found.level, found.diagnosis, found.exit_code) == ("fail", variables.DIAGNOSIS, 2)
    for word in ("FASTEMBED_CACHE_PATH", "'/models/fastembed'", f"{STORE}/fastembed", "process 7"):
        assert word in found.seen
    assert "process 8" not in found.seen


def test_the_same_directory_under_another_path() -> None:
    """A worker may mount the store elsewhere: what leads there is right."""
    variable = "FASTEMBED_CACHE_PATH"
    elsewhere = Process("worker", {variable: "/models/fastembed"}, frozenset({variable}))
    (found,) = variables.judge([elsewhere], NOBODY, STORE)
    assert found.level == "ok"


@pytest.mark.parametrize(
    "value", [f"{STORE}/releases/v1/fastembed", "/models/releases/v1/fastembed/"]
)
def test_one_release_instead_of_the_active_one(value: str) -> None:
    """It is the same directory today; after the next bump the worker would load an old model."""
    variable = "FASTEMBED_CACHE_PATH"
    pinned = Process("worker", {variable: value}, frozenset({variable}))
    (found,) = variables.judge([pinned], NOBODY, STORE)
    assert (found.level, found.exit_code) == ("fail", 2)
    assert f"should be '{STORE}/fastembed'" in found.seen


def test_no_variables() -> None:
    """Where none is set anywhere that is a warning, and it says whether a worker could be seen."""
    (blind,) = variables.judge([], NOBODY, STORE)
    assert (blind.level, "cannot be seen" in blind.seen) == ("warn", True)
    assert "shareProcessNamespace: true" in blind.remedy
    (seen,) = variables.judge([Process("worker")], NOBODY, STORE)
    assert (seen.level, "in the 1 processes" in seen.seen) == ("warn", True)


def test_own_variables_count_only_without_others() -> None:
    """A worker that can be seen is what counts, not the doctor's own environment."""
    own = Process("this environment", {"HF_HOME": "/wrong"})
    (found,) = variables.judge([Process("worker", RIGHT)], own, STORE)
    assert found.level == "ok"


def test_misplaced_models() -> None:
    """Weights in another directory are named, those with the model's name in their path first."""
    nodes = {
        "a/model.onnx": Node("file", 1),
        "models/BGE-small/model.onnx": Node("file", 1),
        "models/BGE-small": Node("directory"),
        "models/model.safetensors": Node("dangling"),
    }
    (said,) = misplaced.sentences(nodes, [BGE, MINILM])
    assert said == (
        "models/BGE-small/model.onnx belongs to fastembed/models--Qdrant--bge-onnx/ "
        "if it is BAAI/bge."
    )


def test_what_loaders_expect() -> None:
    """The files and the directory that each loader wants are said, with the tree's suffix."""
    assert misplaced.expected(BGE, "-v2") == (
        "FastEmbed wants model.onnx, tokenizer.json and tokenizer_config.json in "
        "fastembed-v2/models--Qdrant--bge-onnx/"
    )
    assert misplaced.expected(MINILM) == (
        "sentence-transformers wants modules.json and what it names, config.json, "
        "model.safetensors and tokenizer.json in sentence_transformers/models--org--minilm/"
    )
    assert misplaced.expected(Wanted(ModelRef("org/any", "huggingface", "org/any"))) == (
        "huggingface wants the files of org/any in huggingface/hub/models--org--any/"
    )
