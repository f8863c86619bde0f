"""Canaries: does a model give what it must give, on the device where it runs?"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from agent.release import canary, manifest
from agent.release.catalog import Expected
from agent.release.manifest import Canary, Model
from tests.support.manifests import FULL
from tests.support.stores import a_model

if TYPE_CHECKING:
    from agent.release.canary import Kind

COSINES = st.lists(st.floats(-1, 1), min_size=2, max_size=2)
MINIMA = st.floats(0.01, 1)


def model(minimum: float | None = 0.999) -> Model:
    """A model of two dimensions with a canary of two texts, or none."""
    reference = Canary(("hello", "x" * 100), ((1.0, 0.0), (0.0, 1.0)), minimum or 0.999)
    return a_model(name="a/b", dim=2, canary=reference if minimum else None)


def problem(model: Model, **changes: Any) -> str | None:
    """What is wrong with a model that is right, but for the changes."""
    right: dict[str, Any] = {"dim": 2, "finite": True, "cosines": (1.0, 1.0), "kind": "cpu"}
    return canary.problem(model, **(right | changes))


@given(COSINES, MINIMA)
def test_the_worst_text_decides(cosines: list[float], minimum: float) -> None:
    """A model is right if and only if every text reaches what the manifest asks for."""
    assert (problem(model(minimum), cosines=cosines) is None) == (min(cosines) >= minimum)


def test_canaries_of_the_same_files() -> None:
    """They agree where only the vectors differ, and by no more than the canary itself allows."""
    one = Canary(("a", "b"), ((1.0, 0.0), (0.0, 1.0)))
    for other, agree in (
        (Canary(one.texts, ((1.0, 1e-6), (0.0, 1.0))), True),
        (Canary(one.texts, ((1.0, 0.0), (0.1, 1.0))), False),
        (Canary(one.texts, one.vectors, min_cosine=0.9), False),
        (Canary(("a", "c"), one.vectors), False),
        (None, False),
    ):
        assert canary.agree(one, other) is agree
    assert canary.agree(None, one) is False
    assert canary.agree(None, None) is True


@given(COSINES, MINIMA)
def test_a_gpu_may_differ_a_little(cosines: list[float], minimum: float) -> None:
    """On a GPU no more than 0.99 is asked for, and less if the manifest says so."""
    right = problem(model(minimum), cosines=cosines, kind="cuda") is None
    assert right == (min(cosines) >= min(minimum, 0.99))


@pytest.mark.parametrize(
    ("minimum", "kind", "expected"),
    [
        (0.999, "cpu", 0.999),
        (0.999, "cuda", 0.99),
        (0.99, "cpu", 0.99),
        (0.99, "cuda", 0.99),
        (0.95, "cpu", 0.95),
        (0.95, "cuda", 0.95),
        (None, "cpu", 0.0),
        (None, "cuda", 0.0),
    ],
)
def test_what_is_needed_where(minimum: float | None, kind: Kind, expected: float) -> None:
    """The manifest's number, but on a GPU never more than 0.99; nothing without a canary."""
    assert canary.needed(model(minimum).canary, kind) == expected


def test_the_sentence_names_the_text_that_is_off() -> None:
    """With its cosine, and what is needed; a long text is cut short."""
    said = str(problem(model(), cosines=(1.0, 0.5)))
    assert "cosine 0.5000" in said
    assert "x" * 40 + "…" in said
    assert "x" * 41 not in said
    assert "at least 0.999 is needed" in said


def test_another_dimension_comes_first() -> None:
    """Vectors of another length have no cosine worth telling."""
    assert problem(model(), dim=3, cosines=(0.0, 0.0)) == "gives 3 numbers and its manifest says 2"


def test_another_dimension_of_a_model_without_a_canary() -> None:
    """One that was not run when it was published has only what its files seemed to say."""
    unrun = replace(model(None), loader="sentence-transformers")
    assert problem(unrun, dim=3, cosines=()) is None
    assert "gives 3 numbers" in str(problem(model(None), dim=3, cosines=()))


def test_the_models_without_a_canary_are_named() -> None:
    """In a line each, with what that means."""
    with_one, without = model(), model(None)
    release = manifest.parse(manifest.canonical(FULL))
    both = replace(release, models=(with_one, without))
    assert canary.missing(replace(release, models=(with_one,))) == []
    (line,) = canary.missing(both)
    assert line == (
        f"{without.name} ({without.loader}) was not run, so it has no canary: pods check its "
        "files, but neither its vectors nor its embedding space."
    )


@pytest.mark.parametrize("minimum", [0.999, None])
def test_what_is_not_finite_is_wrong_without_a_canary_too(minimum: float | None) -> None:
    """NaN needs no reference."""
    assert "not finite" in str(problem(model(minimum), finite=False, cosines=()))


def test_a_model_without_a_canary_or_that_was_not_run() -> None:
    """There is nothing to hold it to."""
    assert problem(model(None), cosines=()) is None
    assert problem(model(), cosines=()) is None


def test_rounded_weights_are_given_more_room() -> None:
    """What `publish` writes into the manifest, by precision."""
    assert canary.MIN_COSINES == {"fp32": 0.999, "fp16": 0.99, "int8": 0.99}


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=5), st.floats(-0.0009, 0.0009))
def test_published_numbers_may_be_off_by_their_rounding(first: list[float], off: float) -> None:
    """To 0.001, and whatever follows the numbers that were published."""
    vector = [*(number + off for number in first), 42.0]
    assert canary.unexpected(Expected("hello", tuple(first)), vector) is None


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=5), st.data())
def test_one_number_that_is_further_off_is_enough(first: list[float], data: st.DataObject) -> None:
    """Whichever it is, and in whichever direction."""
    vector = list(first)
    off = data.draw(st.floats(0.0011, 1)) * data.draw(st.sampled_from([1, -1]))
    vector[data.draw(st.integers(0, len(first) - 1))] += off
    assert canary.unexpected(Expected("hello", tuple(first)), vector)


@pytest.mark.parametrize(
    "vector", [[0.1, 0.2012], [0.1], [], [math.nan, 0.2], [-0.1, -0.2]], ids=str
)
def test_other_numbers_are_said_beside_the_published_ones(vector: list[float]) -> None:
    """One that is off, missing, or no number is enough."""
    said = str(canary.unexpected(Expected("hello", (0.1, 0.2)), vector))
    assert said.startswith(f"gives {', '.join(f'{number:.5f}' for number in vector)} for")
    assert "for 'hello', where 0.10000, 0.20000 is published" in said
