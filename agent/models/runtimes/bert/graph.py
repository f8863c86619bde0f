"""The graph of a sentence-transformers model of the BERT family, its weights left in their files.

It is `transformers.BertModel` without the pooler, then sentence-transformers' own modules. Matrices
are kept as [out, in] and used so, since a transposed one would be a copy in memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from agent.models.formats.onnx_graph import FLOAT, Graph

if TYPE_CHECKING:
    from agent.models.runtimes.bert.recipe import Dense, Recipe

IDS, MASK, POSITIONS, VECTORS = "input_ids", "attention_mask", "position_ids", "vectors"

# Added to the attention score of a padding token; its weight is then exactly 0 in float32.
_MASKED: Final = 1e9
# As sentence-transformers' pooling and torch's normalize have them, against division by zero.
_FEWEST, _SHORTEST = 1e-9, 1e-12


def build(recipe: Recipe) -> bytes:
    """Return an ONNX model that gives the vectors of a batch of tokenized texts.

    Its inputs are whole numbers: the tokens and the mask as [batch, tokens], and the positions,
    which all texts share, as [tokens]. Its output is float32 [batch, dim].
    """
    made = _Sentences(recipe)
    vectors = made.pool(made.encode())
    for step in recipe.after:
        vectors = made.dense(vectors, step) if step else made.normalize(vectors)
    made.graph.op("Identity", vectors, output=VECTORS)
    made.graph.output(VECTORS, "batch", recipe.dim)
    return made.graph.model()


class _Sentences:
    """The graph of one recipe in the making; hidden states are [batch x tokens, hidden]."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe, config = recipe, recipe.config
        self.graph = graph = Graph()
        self._ids = graph.input(IDS, "batch", "tokens")
        self._positions = graph.input(POSITIONS, "tokens")
        self._mask = graph.op("Cast", graph.input(MASK, "batch", "tokens"), to=FLOAT)
        shape = graph.op("Shape", self._ids)
        self._width = width = config.hidden_size // config.num_attention_heads
        self._as_heads = graph.op(
            "Concat", shape, graph.integers(config.num_attention_heads, width), axis=0
        )
        self._as_texts = graph.op("Concat", shape, graph.integers(config.hidden_size), axis=0)
        self._as_rows = graph.integers(-1, config.hidden_size)

    def encode(self) -> str:
        """Return the states of all tokens after the last layer."""
        table = "embeddings.{}_embeddings.weight".format
        words = self._rows(table("word"), self._ids)
        places = self._rows(table("position"), self._positions)
        kind = self._rows(table("token_type"), self.graph.integers(0))
        total = self.graph.op("Add", self.graph.op("Add", words, kind), places)
        rows = self.graph.op("Reshape", total, self._as_rows)
        hidden, bias = self._norm(rows, "embeddings.LayerNorm"), self._bias()
        for index in range(self._recipe.config.num_hidden_layers):
            hidden = self._layer(hidden, bias, f"encoder.layer.{index}")
        return hidden

    def pool(self, hidden: str) -> str:
        """Return one vector a text."""
        states = self.graph.op("Reshape", hidden, self._as_texts)
        first, second = self.graph.integers(0), self.graph.integers(1)
        if self._recipe.pooling == "cls":
            states = self.graph.op("Slice", states, first, second, second)
            return self.graph.op("Squeeze", states, second)
        mask = self.graph.op("Unsqueeze", self._mask, self.graph.integers(2))
        kept = self.graph.op("Mul", states, mask)
        if self._recipe.pooling == "max":
            lowered = self.graph.op("Add", kept, self._lowest(mask))
            return self.graph.op("ReduceMax", lowered, second, keepdims=0)
        total = self.graph.op("ReduceSum", kept, second, keepdims=0)
        count = self.graph.op("ReduceSum", mask, second, keepdims=0)
        count = self.graph.op("Max", count, self.graph.scalar(_FEWEST))
        return self.graph.op("Div", total, count)

    def dense(self, vectors: str, dense: Dense) -> str:
        """Return the vectors behind a layer of their own."""
        product = self._linear(vectors, dense.name)
        return self.graph.op(dense.activation, product)

    def normalize(self, vectors: str) -> str:
        """Return the vectors at length 1."""
        length = self.graph.op("ReduceL2", vectors, self.graph.integers(1), keepdims=1)
        length = self.graph.op("Max", length, self.graph.scalar(_SHORTEST))
        return self.graph.op("Div", vectors, length)

    def _bias(self) -> str:
        """Return what is added to attention scores, as [batch, 1, 1, tokens]."""
        return self._lowest(self.graph.op("Unsqueeze", self._mask, self.graph.integers(1, 2)))

    def _lowest(self, mask: str) -> str:
        """Return 0 for a token and a very low number for padding, in the shape of a mask."""
        less = self.graph.op("Sub", mask, self.graph.scalar(1.0))
        return self.graph.op("Mul", less, self.graph.scalar(_MASKED))

    def _layer(self, hidden: str, bias: str, name: str) -> str:
        attended = self._attention(hidden, bias, f"{name}.attention.self")
        attended = self._linear(attended, f"{name}.attention.output.dense")
        total = self.graph.op("Add", hidden, attended)
        hidden = self._norm(total, f"{name}.attention.output.LayerNorm")
        wide = self._linear(hidden, f"{name}.intermediate.dense")
        wide = self.graph.op(self._recipe.activation, wide)
        total = self.graph.op("Add", hidden, self._linear(wide, f"{name}.output.dense"))
        return self._norm(total, f"{name}.output.LayerNorm")

    def _attention(self, hidden: str, bias: str, name: str) -> str:
        query = self._heads(hidden, f"{name}.query", (0, 2, 1, 3))
        key = self._heads(hidden, f"{name}.key", (0, 2, 3, 1))
        value = self._heads(hidden, f"{name}.value", (0, 2, 1, 3))
        root = self.graph.scalar(self._width**0.5)
        scores = self.graph.op("Div", self.graph.op("MatMul", query, key), root)
        weights = self.graph.op("Softmax", self.graph.op("Add", scores, bias), axis=3)
        mixed = self.graph.op("MatMul", weights, value)
        mixed = self.graph.op("Transpose", mixed, perm=(0, 2, 1, 3))
        return self.graph.op("Reshape", mixed, self._as_rows)

    def _heads(self, hidden: str, name: str, order: tuple[int, ...]) -> str:
        split = self.graph.op("Reshape", self._linear(hidden, name), self._as_heads)
        return self.graph.op("Transpose", split, perm=order)

    def _linear(self, rows: str, name: str) -> str:
        bias = f"{name}.bias"
        more = [self._weight(bias)] if bias in self._recipe.weights else []
        return self.graph.op("Gemm", rows, self._weight(f"{name}.weight"), *more, transB=1)

    def _norm(self, rows: str, name: str) -> str:
        scale, bias = self._weight(f"{name}.weight"), self._weight(f"{name}.bias")
        epsilon = self._recipe.config.layer_norm_eps
        return self.graph.op("LayerNormalization", rows, scale, bias, axis=1, epsilon=epsilon)

    def _rows(self, name: str, numbers: str) -> str:
        return self.graph.rows(name, self._recipe.weights[name], numbers)

    def _weight(self, name: str) -> str:
        return self.graph.weight(name, self._recipe.weights[name])
