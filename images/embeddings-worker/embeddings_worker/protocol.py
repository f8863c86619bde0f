"""OpenAI's embeddings protocol: parses requests and makes answers. No I/O.

Shape: https://platform.openai.com/docs/api-reference/embeddings
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

MAX_INPUTS: Final = 2048

Encoding = Literal["float", "base64"]


class RefusedError(Exception):
    """A request that is answered with an error.

    Args:
        message: The mistake, and the correct form.
        status: The HTTP status.
        param: The field that is wrong; None if it is not one field.
        code: The error's name for programs, or None.
    """

    def __init__(
        self, message: str, *, status: int = 400, param: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.param = param
        self.code = code


class Request(msgspec.Struct):
    """A request's body; other fields, such as `user`, are ignored."""

    input: str | list[Any]
    model: str | None = None
    encoding_format: Encoding = "float"
    dimensions: int | None = None

    @property
    def texts(self) -> list[str]:
        """The texts to embed."""
        return [self.input] if isinstance(self.input, str) else self.input


def parse(body: bytes, *, model: str) -> Request:
    """Parse and check a request's body.

    Args:
        body: The bytes of the body.
        model: The only model that is served.

    Raises:
        RefusedError: The request breaks the protocol or a limit, or names another model.
    """
    try:
        request = msgspec.json.decode(body, type=Request)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise RefusedError(
            f'The request is not understood: {error}. Send {{"input": "some text"}}.'
        ) from None
    if request.model not in {None, model}:
        raise RefusedError(
            f"The model {request.model[:200]!r} is not served here; this worker serves {model}.",
            status=404,
            param="model",
            code="model_not_found",
        )
    _check_input(request.input)
    return request


def _check_input(given: str | list[Any]) -> None:
    if not given and not isinstance(given, str):
        raise RefusedError("The input is empty; send at least one text.", param="input")
    if len(given) > MAX_INPUTS and not isinstance(given, str):
        raise RefusedError(
            f"The input has {len(given)} texts; send at most {MAX_INPUTS} at a time.",
            param="input",
        )
    if any(isinstance(item, int | list) for item in given):
        raise RefusedError(
            "The input holds tokens, which this worker does not take; send texts.", param="input"
        )
    if not all(isinstance(item, str) for item in given):
        raise RefusedError("The input must be a text or a list of texts.", param="input")


def check_dimensions(request: Request, vectors: Sequence[NDArray[np.float32]]) -> None:
    """Raise unless the vectors have the requested number of dimensions.

    Raises:
        RefusedError: They have another number; vectors are never shortened.
    """
    if request.dimensions not in {None, len(vectors[0])}:
        raise RefusedError(
            f"The model gives {len(vectors[0])} dimensions and no other number; leave them out.",
            param="dimensions",
        )


def answer_body(
    vectors: Sequence[NDArray[np.float32]], *, encoding: Encoding, model: str, tokens: int
) -> bytes:
    """Return the body of an answer; with base64 a vector is little-endian float32."""
    data = [
        {"object": "embedding", "index": index, "embedding": _encode(vector, encoding)}
        for index, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return msgspec.json.encode({"object": "list", "data": data, "model": model, "usage": usage})


def error_body(error: RefusedError) -> bytes:
    """Return the body of an error."""
    kind = "invalid_request_error" if error.status < 500 else "server_error"  # noqa: PLR2004
    fields = {"message": str(error), "type": kind, "param": error.param, "code": error.code}
    return msgspec.json.encode({"error": fields})


def _encode(vector: NDArray[np.float32], encoding: Encoding) -> object:
    if encoding == "base64":
        return base64.b64encode(vector.astype("<f4").tobytes()).decode()
    return vector.tolist()
