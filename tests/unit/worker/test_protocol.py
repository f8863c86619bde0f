"""The embeddings endpoint speaks OpenAI's protocol, and says what is wrong where it does not."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest

from embeddings_worker.protocol import (
    RefusedError,
    Request,
    answer_body,
    check_dimensions,
    parse,
)

MODEL = "Org/name"
VECTORS = [np.array([0.5, -0.25], np.float32), np.array([1.0, 0.0], np.float32)]


def parsed(**fields: Any) -> Request:
    return parse(json.dumps(fields).encode(), model=MODEL)


def refused(**fields: Any) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        parsed(**fields)
    return caught.value


def test_a_text_is_a_list_of_one() -> None:
    """A single text and a list of texts are taken alike."""
    assert parsed(input="a").texts == ["a"]
    assert parsed(input=["a", "b"], model=MODEL, user="me").texts == ["a", "b"]
    assert parsed(input="a").encoding_format == "float"


def test_another_model_is_not_found() -> None:
    """A request for a model that is not served is a 404 that names the one that is."""
    error = refused(input="a", model="gpt-9")
    assert (error.status, error.param, error.code) == (404, "model", "model_not_found")
    assert MODEL in str(error)


@pytest.mark.parametrize("tokens", [[1, 2], [[1, 2], [3]], ["a", 1], [[]], [True]])
def test_tokens_are_refused_in_so_many_words(tokens: object) -> None:
    """Arrays of tokens belong to another tokenizer: they are refused, and why is said."""
    error = refused(input=tokens)
    assert (error.status, error.param) == (400, "input")
    assert "tokens" in str(error)


@pytest.mark.parametrize("given", [[], [None], [{}], {}, None, 5, ["a", None]])
def test_what_is_no_text_is_refused(given: object) -> None:
    """An empty list, or anything that is neither a text nor a list of texts, is a 400."""
    assert refused(input=given).status == 400


def test_the_number_of_texts_is_limited() -> None:
    """2048 texts are taken, one more is refused, and a long text is no list."""
    assert len(parsed(input=["a"] * 2048).texts) == 2048
    assert "2048" in str(refused(input=["a"] * 2049))
    assert parsed(input="a" * 5000).texts == ["a" * 5000]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b'{"model": "Org/name"}'])
def test_what_is_no_request_is_refused(body: bytes) -> None:
    """A body that is not the JSON of a request is a 400."""
    with pytest.raises(RefusedError) as caught:
        parse(body, model=MODEL)
    assert caught.value.status == 400


def test_an_unknown_encoding_is_refused() -> None:
    """Only float and base64 are known."""
    assert refused(input="a", encoding_format="hex").status == 400


def test_dimensions_are_never_cut() -> None:
    """Asking for as many dimensions as the model gives is fine; fewer are refused."""
    check_dimensions(parsed(input="a"), VECTORS)
    check_dimensions(parsed(input="a", dimensions=2), VECTORS)
    with pytest.raises(RefusedError, match="2 dimensions"):
        check_dimensions(parsed(input="a", dimensions=1), VECTORS)


def test_an_answer_has_openais_shape() -> None:
    """List, index, embedding, model and usage are as OpenAI's clients read them."""
    body = json.loads(answer_body(VECTORS, encoding="float", model=MODEL, tokens=7))
    assert body == {
        "object": "list",
        "data": [
            {"object": "embedding", "index": 0, "embedding": [0.5, -0.25]},
            {"object": "embedding", "index": 1, "embedding": [1.0, 0.0]},
        ],
        "model": MODEL,
        "usage": {"prompt_tokens": 7, "total_tokens": 7},
    }


def test_base64_is_little_endian_float32() -> None:
    """What OpenAI's own client asks for by default comes as it decodes it."""
    body = json.loads(answer_body(VECTORS, encoding="base64", model=MODEL, tokens=7))
    raw = base64.b64decode(body["data"][0]["embedding"])
    assert np.frombuffer(raw, "<f4").tolist() == [0.5, -0.25]
