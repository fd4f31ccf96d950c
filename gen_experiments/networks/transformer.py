"""A transformer over grids of codes, bidirectional or causal.

Blocks of attention and SwiGLU (https://arxiv.org/abs/2002.05202, here with biases), each behind a norm that the
condition shifts, scales and gates (adaLN-Zero, https://arxiv.org/abs/2212.09748, here with RMS norms). Queries and keys
go through RMS norms with learnt scales (https://arxiv.org/abs/2403.03206, section 5.3.2).
"""

from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, rms_norm, scaled_dot_product_attention, silu

from gen_experiments.errors import UserError, check_interval
from gen_experiments.networks.blocks import MAX_BLOCKS, MAX_CHANNELS, RMSNorm
from gen_experiments.randomness import rand_rows

Layer = TypeVar("Layer", nn.Linear, nn.Embedding)


class Cache:
    """Keys and values of the tokens that a causal block has seen.

    Args:
        length: the most tokens it can hold.
    """

    def __init__(self, length: int) -> None:
        self.length = length
        self.seen = 0
        self._stored: Tensor | None = None

    def extend(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Adds the (B, heads, 1, d) of one more token and returns those of all tokens so far, (B, heads, t, d) each."""
        if self._stored is None:
            self._stored = keys.new_empty(2, *keys.shape[:2], self.length, keys.shape[3])
        self._stored[:, :, :, self.seen] = torch.stack([keys, values])[:, :, :, 0]
        self.seen += 1
        every_key, every_value = self._stored[:, :, :, : self.seen]
        return every_key, every_value


class Attention(nn.Module):
    """Self-attention with normalised queries and keys.

    Args:
        width: length of a token's vector.
        heads: number of heads; divides the width.
        causal: whether a token attends only to itself and those before it.
    """

    def __init__(self, width: int, heads: int, causal: bool) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.inputs = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)
        self.query_norm = RMSNorm(width // heads)
        self.key_norm = RMSNorm(width // heads)

    def forward(self, x: Tensor, cache: Cache | None = None) -> Tensor:
        """Maps (B, T, width) -> the same; with a cache T is 1, and x follows what the cache has seen."""
        queries, keys, values = self.inputs(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        queries = self.query_norm(queries).to(values)
        keys = self.key_norm(keys).to(values)
        if cache is not None:
            keys, values = cache.extend(keys, values)
        attended = scaled_dot_product_attention(queries, keys, values, is_causal=self.causal and cache is None)
        output: Tensor = self.output(attended.transpose(1, 2).flatten(2))
        return output


class SwiGLU(nn.Module):
    """W₃(silu(W₁x) · W₂x), with 8/3 as many hidden units as x is long (rounded up to a multiple of 8).

    Args:
        width: length of a token's vector.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        hidden = -(-width // 3) * 8
        self.inputs = nn.Linear(width, 2 * hidden)
        self.output = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, T, width) -> the same."""
        gate, value = self.inputs(x).chunk(2, dim=-1)
        output: Tensor = self.output(silu(gate) * value)
        return output


class Block(nn.Module):
    """Attention and SwiGLU, each added to its input; both add nothing at the start of training.

    Args:
        width: length of a token's vector.
        heads: number of heads.
        dropout: dropout of both additions in training.
        causal: whether a token attends only to itself and those before it.
    """

    def __init__(self, width: int, heads: int, dropout: float, causal: bool) -> None:
        super().__init__()
        self.dropout = dropout
        self.attention = Attention(width, heads, causal)
        self.mlp = SwiGLU(width)
        self.modulation = _normal(nn.Linear(width, 6 * width), std=0)

    def forward(self, x: Tensor, condition: Tensor, rng: torch.Generator | None, cache: Cache | None) -> Tensor:
        """Maps (B, T, width) tokens and a (B, 1, width) condition -> (B, T, width)."""
        shift1, scale1, gate1, shift2, scale2, gate2 = self.modulation(condition).chunk(6, dim=-1)
        x = x + gate1 * self._dropout(self.attention(_modulate(x, shift1, scale1), cache), rng)
        x = x + gate2 * self._dropout(self.mlp(_modulate(x, shift2, scale2)), rng)
        return x

    def _dropout(self, x: Tensor, rng: torch.Generator | None) -> Tensor:
        if rng is None or self.dropout == 0:
            return x
        mask = rand_rows(*x.shape, rng=rng).to(x.device) >= self.dropout
        return x * mask / (1 - self.dropout)


class GridPositions(nn.Module):
    """A learnt vector for every position of several grids: level + row + column.

    Levels of the same grid share rows and columns.

    Args:
        grids: (height, width) of each level.
        width: length of a vector.
    """

    levels: Tensor
    rows: Tensor
    columns: Tensor

    def __init__(self, grids: Sequence[tuple[int, int]], width: int) -> None:
        super().__init__()
        distinct = sorted(set(grids))
        row_of = {grid: sum(h for h, _ in distinct[:i]) for i, grid in enumerate(distinct)}
        column_of = {grid: sum(w for _, w in distinct[:i]) for i, grid in enumerate(distinct)}
        places = [
            (level, row_of[grid] + row, column_of[grid] + column)
            for level, grid in enumerate(grids)
            for row in range(grid[0])
            for column in range(grid[1])
        ]
        for name, index in zip(("levels", "rows", "columns"), torch.tensor(places).unbind(1), strict=True):
            self.register_buffer(name, index, persistent=False)
        self.level = _normal(nn.Embedding(len(grids), width))
        self.row = _normal(nn.Embedding(sum(h for h, _ in distinct), width))
        self.column = _normal(nn.Embedding(sum(w for _, w in distinct), width))

    def forward(self, positions: Tensor) -> Tensor:
        """Maps (...) positions, counted level by level and row by row, -> (..., width)."""
        return embedding(positions, self.level(self.levels) + self.row(self.rows) + self.column(self.columns))


class CodeTransformer(nn.Module):
    """Embeds codes, mixes them under a condition, and gives logits of codes.

    Every level has its own code embeddings and linear head: a code means different things on different levels.
    Dropout is drawn from `rng`, whatever the mode of the module; without it there is none.

    Args:
        grids: (height, width) of each level, the coarsest first; L positions in all.
        codebook_size: number of codes, K.
        conditions: number of conditions.
        width: length of a token's vector.
        depth: number of blocks; in [1, 1000].
        heads: number of heads; divides the width.
        dropout: dropout of the output of each block's layers in training; in [0, 1).
        causal: whether a token attends only to itself and those before it.

    Raises:
        UserError: a number out of range.
    """

    def __init__(
        self,
        grids: Sequence[tuple[int, int]],
        codebook_size: int,
        conditions: int,
        width: int,
        depth: int,
        heads: int,
        dropout: float,
        causal: bool,
    ) -> None:
        super().__init__()
        check_interval(f"[1, {MAX_CHANNELS}]", width=width, heads=heads)
        check_interval(f"[1, {MAX_BLOCKS}]", depth=depth)
        check_interval("[0, 1)", dropout=dropout)
        if width % heads:
            raise UserError(f"heads must divide the width, not heads={heads} of width={width}")
        self.codebook_size, self.width = codebook_size, width
        self.sizes = [height * width for height, width in grids]
        self.positions = GridPositions(grids, width)
        self.tokens = _normal(nn.Embedding(len(grids) * codebook_size + 1, width))
        self.condition = nn.Embedding(conditions, width)
        self.blocks = nn.ModuleList(Block(width, heads, dropout, causal) for _ in range(depth))
        self.modulation = _normal(nn.Linear(width, 2 * width), std=0)
        self.heads = nn.ModuleList(_normal(nn.Linear(width, codebook_size)) for _ in grids)

    def embed(self, codes: Tensor, positions: Tensor) -> Tensor:
        """Maps (B, T) codes at (T,) or (B, T) positions to vectors, (B, T, width); the code K is an unknown one."""
        of_level = codes + self.codebook_size * self.positions.levels[positions]
        index = torch.where(codes == self.codebook_size, self.tokens.num_embeddings - 1, of_level)
        embedded: Tensor = self.tokens(index) + self.positions(positions)
        return embedded

    def forward(
        self,
        x: Tensor,
        conditions: Tensor,
        rng: torch.Generator | None = None,
        caches: Sequence[Cache] | None = None,
    ) -> Tensor:
        """Mixes tokens under (B,) int64 conditions: (B, T, width) -> the same, to be given to `logits`.

        Dropout is drawn from `rng`. With the caches of all blocks, x is the one token that follows the cached ones.
        """
        condition = silu(self.condition(conditions))[:, None]
        for i, block in enumerate(self.blocks):
            x = block(x, condition, rng, None if caches is None else caches[i])
        shift, scale = self.modulation(condition).chunk(2, dim=-1)
        return _modulate(x, shift, scale)

    def logits(self, features: Tensor, first: int = 0) -> Tensor:
        """Maps (B, T, width) of the positions first, …, first + T − 1 -> (B, T, K)."""
        parts = []
        for head, size in zip(self.heads, self.sizes, strict=True):
            of_level = max(size - first, 0)
            if of_level and features.shape[1]:
                parts.append(head(features[:, :of_level]))
            features, first = features[:, of_level:], max(first - size, 0)
        return torch.cat(parts, dim=1)


def _modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    return rms_norm(x, x.shape[-1:]) * (1 + scale) + shift


def _normal(layer: Layer, std: float = 0.02) -> Layer:
    nn.init.normal_(layer.weight, std=std)
    if isinstance(layer, nn.Linear):
        nn.init.zeros_(layer.bias)
    return layer
