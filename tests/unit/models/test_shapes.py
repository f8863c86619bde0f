"""Shapes of inference: how they are written, and what texts they stand for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.models import shapes
from agent.models.shapes import Shape

SHAPES = st.builds(Shape, st.integers(1, 99_999), st.integers(1, 999_999))


@given(st.lists(SHAPES, min_size=1, max_size=5))
def test_what_is_written_is_read(given_shapes: list[Shape]) -> None:
    """Shapes are read as they are shown."""
    assert shapes.parse(",".join(map(str, given_shapes))) == tuple(given_shapes)


def test_auto_is_left_to_the_device() -> None:
    """Without a wish, the device decides."""
    assert shapes.parse("auto") is None


@pytest.mark.parametrize(
    "text", ["", "32", "0x16", "1x0", "1X16", "1x16,", "1x16;2x16", " 1x16", "-1x5", "1x1000000"]
)
def test_anything_else_is_refused(text: str) -> None:
    """No batch and no text may be empty, and a typing error is no shape."""
    with pytest.raises(ValueError, match="1x16,32x512"):
        shapes.parse(text)


@given(st.builds(Shape, st.integers(1, 40), st.integers(1, 600)))
def test_a_shape_s_texts_are_as_many_and_as_long(shape: Shape) -> None:
    """With a token in front and one behind, each text has the tokens that were asked for."""
    texts = shape.texts()
    assert len(texts) == shape.batch
    assert {len(text.split()) for text in texts} == {max(1, shape.tokens - 2)}


def test_a_gpu_warms_what_the_worker_serves() -> None:
    """Batches of 1, 32 and 128 texts, up to 512 tokens long."""
    warmed = shapes.DEFAULTS["cuda"]
    assert {shape.batch for shape in warmed} >= {1, 32, 128}
    assert max(shape.tokens for shape in warmed) == 512
    assert sum(shape.batch * shape.tokens for shape in shapes.DEFAULTS["cpu"]) < 200
