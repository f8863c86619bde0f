"""Embedding spaces: do two sets of vectors mean the same thing?"""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.release import manifest, space
from agent.release.manifest import Canary, File, Manifest, Model

if TYPE_CHECKING:
    from collections.abc import Sequence

HEX = "0" * 64
# Numbers whose squares neither vanish nor overflow.
NUMBERS = st.floats(0.001, 1000) | st.floats(-1000, -0.001)
VECTORS = st.lists(NUMBERS, min_size=1, max_size=6)
PAIRS = st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=6)


def canary(*vectors: Sequence[float], texts: Sequence[str] = ()) -> Canary:
    """A canary with these vectors."""
    names = tuple(texts) or tuple(f"text {n}" for n in range(len(vectors)))
    return Canary(texts=names, vectors=tuple(map(tuple, vectors)))


def model(
    given: Canary | None, *, name: str = "a/b", dim: int = 2, loader: str = "fastembed"
) -> Model:
    """A model with this canary."""
    return Model(
        name=name,
        loader=loader,
        repo="o/r",
        revision=HEX[:40],
        dim=dim,
        max_length=1,
        canary=given,
    )


def release(version: str, *models: Model) -> Manifest:
    """A release that holds these models."""
    file = File(path="a", size=0, sha256=HEX, chunks=())
    return manifest.build(
        version=version, created="", generator="", chunk_size=1, files=[file], models=list(models)
    )


@given(PAIRS)
def test_the_cosine_is_symmetric_and_within_its_range(pairs: list[tuple[float, float]]) -> None:
    """It is that of an angle, whichever vector comes first."""
    a, b = [x for x, _ in pairs], [y for _, y in pairs]
    assert -1.0000001 <= space.cosine(a, b) <= 1.0000001
    assert space.cosine(a, b) == pytest.approx(space.cosine(b, a))


@given(VECTORS, st.floats(0.01, 100))
def test_only_the_direction_counts(vector: list[float], factor: float) -> None:
    """A longer vector of the same direction is the same, of the other direction its opposite."""
    assert space.cosine(vector, [factor * x for x in vector]) == pytest.approx(1.0)
    assert space.cosine(vector, [-factor * x for x in vector]) == pytest.approx(-1.0)


@given(st.floats(0, math.pi))
def test_the_cosine_is_that_of_the_angle(angle: float) -> None:
    """Two vectors at an angle have its cosine."""
    assert space.cosine([1.0, 0.0], [math.cos(angle), math.sin(angle)]) == pytest.approx(
        math.cos(angle), abs=1e-12
    )


@pytest.mark.parametrize(
    ("a", "b"),
    [
        pytest.param([1.0], [1.0, 1.0], id="lengths-differ"),
        pytest.param([], [], id="empty"),
        pytest.param([0.0, 0.0], [1.0, 1.0], id="zero"),
        pytest.param([math.nan], [1.0], id="nan"),
        pytest.param([math.inf], [1.0], id="infinity"),
        pytest.param([math.inf], [math.inf], id="infinities"),
        pytest.param([1e200, 1e200], [1e200, 1e200], id="squares-overflow"),
        pytest.param([1e-200], [1e-200], id="squares-vanish"),
    ],
)
def test_a_broken_vector_never_passes_for_a_good_one(a: list[float], b: list[float]) -> None:
    """Where the cosine has no meaning it is 0, from either side."""
    assert space.cosine(a, b) == 0.0
    assert space.cosine(b, a) == 0.0


def test_the_worst_text_decides() -> None:
    """One text that is off is enough, wherever it stands."""
    reference = canary([1.0, 0.0], [0.0, 1.0], [1.0, 1.0])
    vectors = [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]
    assert min(space.cosines(reference, vectors)) == pytest.approx(1.0)
    for bad in range(3):
        changed = [[1.0, -1.0] if n == bad else v for n, v in enumerate(vectors)]
        assert min(space.cosines(reference, changed)) < 0.8


@pytest.mark.parametrize("vectors", [[], [[1.0, 0.0]], [[1.0, 0.0]] * 3])
def test_missing_vectors_agree_with_nothing(vectors: list[list[float]]) -> None:
    """As many vectors as texts, or none of them counts."""
    assert space.cosines(canary([1.0, 0.0], [1.0, 0.0]), vectors) == (0.0, 0.0)


EAST, NORTH = canary([1.0, 0.0]), canary([0.0, 1.0])
NEARLY_EAST = canary([0.995, math.sqrt(1 - 0.995**2)])
OTHER_TEXTS = canary([0.0, 1.0], texts=["another"])


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        pytest.param([model(EAST)], [model(EAST)], None, id="the-same"),
        pytest.param([model(EAST)], [model(NEARLY_EAST)], None, id="rounded-weights"),
        pytest.param([model(EAST)], [model(NORTH)], "a cosine of 0.000", id="another-space"),
        pytest.param([model(EAST)], [model(EAST, name="c/d")], None, id="another-name"),
        pytest.param(
            [model(None, dim=2)],
            [model(None, dim=3)],
            "a/b gives 3 numbers instead of 2",
            id="another-dimension",
        ),
        pytest.param([model(None)], [model(NORTH)], None, id="no-canary-before"),
        pytest.param([model(EAST)], [model(None)], None, id="no-canary-now"),
        pytest.param([model(EAST)], [model(OTHER_TEXTS)], None, id="other-texts"),
        pytest.param(
            [model(EAST, name="c/d"), model(EAST)],
            [model(EAST, name="c/d"), model(NORTH)],
            "a/b agrees",
            id="the-second-of-two",
        ),
        pytest.param(
            [model(EAST)],
            [model(NORTH, loader="sentence-transformers")],
            "a/b agrees",
            id="another-loader",
        ),
        pytest.param(
            [model(EAST)],
            [model(EAST, name="c/d"), model(NORTH, name="e/f")],
            None,
            id="nothing-in-common",
        ),
    ],
)
def test_a_bump_out_of_the_space_is_refused(
    old: list[Model], new: list[Model], reason: str | None
) -> None:
    """Every name that both releases have must give comparable vectors; the sentence says which."""
    before, after = release("v1", *old), release("v2", *new)
    found = space.another_space(before, after, min_cosine=0.99)
    refused = space.refusal(before, after, min_cosine=0.99)
    if reason is None:
        assert found is refused is None
    else:
        assert reason in str(found)
        assert refused == f"v2 embeds into another space than v1: {found}."


def test_the_operator_sets_how_much_must_agree() -> None:
    """The guard is as strict as the setting, and equality passes."""
    old, new = release("v1", model(EAST)), release("v2", model(NEARLY_EAST))
    exactly = space.cosine(EAST.vectors[0], NEARLY_EAST.vectors[0])
    assert space.another_space(old, new, min_cosine=exactly) is None
    assert space.another_space(old, new, min_cosine=0.999)


def test_the_canary_s_texts_stay_as_they_are() -> None:
    """Releases of one schema are compared on the same texts, so that they may not change."""
    assert len(space.CANARY_TEXTS) == 6
    together = hashlib.sha256("\0".join(space.CANARY_TEXTS).encode()).hexdigest()
    assert together == "d6b3f4b95eaac9f5fe4285b6b535188013ebc72dc5c78f5fed574ca747d44a11"
