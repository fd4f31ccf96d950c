"""The autoregressive prior: one code after another, with an exact likelihood."""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from gen_experiments.errors import UserError
from gen_experiments.networks.transformer import Cache, CodeTransformer, GridPositions
from gen_experiments.priors.base import CodeSpec, Draws, Prior
from gen_experiments.priors.decoding import Decoding
from gen_experiments.pure_functions import PureFunction
from gen_experiments.randomness import rand_rows
from gen_experiments.schedules import Linear


class AutoregressivePrior(Prior):
    """A causal transformer over the codes in raster order, level by level.

    Every token also carries the position of the code to predict, so that training can begin with random orders and end
    with raster order (RAR, https://arxiv.org/abs/2411.00776).

    A code is drawn given only the codes before it: known codes behind it have no influence on it. The masked prior sees
    all known codes.

    Args:
        codes: the shape of the codes.
        width: length of a token's vector.
        depth: number of transformer blocks.
        heads: number of attention heads; divides the width.
        dropout: dropout of the output of each block's layers in training; in [0, 1).
        class_drop: share of the training images whose label is dropped, for guidance; in [0, 1].
        order_annealing: two numbers of images seen, between which the share of images in a random order falls linearly
            from 1 to 0; None for raster order throughout.
        temperature: the logits are divided by it; > 0.
        top_k: only the k likeliest codes are drawn; 0 for all.
        top_p: only the likeliest codes that together have at least this probability are drawn; in (0, 1], 1 for all.
        guidance: w of classifier-free guidance, at twice the cost; >= 0, 0 for none. Without labels it has no effect.

    Raises:
        UserError: a number out of range.
    """

    exact: ClassVar[bool] = True

    def __init__(
        self,
        codes: CodeSpec,
        width: int = 256,
        depth: int = 8,
        heads: int = 8,
        dropout: float = 0.1,
        class_drop: float = 0.1,
        order_annealing: tuple[int, int] | None = None,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        guidance: float = 0.0,
    ) -> None:
        super().__init__(codes, class_drop, Decoding(temperature, top_k, top_p, guidance))
        if order_annealing is not None and not 0 <= order_annealing[0] < order_annealing[1]:
            raise UserError(f"order_annealing needs two rising numbers of images, not {list(order_annealing)}")
        self.order_annealing = order_annealing
        self.network = CodeTransformer(
            codes.grids, codes.codebook_size, self.no_class + 1, width, depth, heads, dropout, causal=True
        )
        self.first = nn.Parameter(0.02 * torch.randn(width))
        self.targets = GridPositions(codes.grids, width)

    def logits(
        self, codes: Tensor, conditions: Tensor, order: Tensor | None = None, rng: torch.Generator | None = None
    ) -> Tensor:
        """Returns the logits of all codes, each given the codes before it.

        Args:
            codes: (B, L).
            conditions: (B,).
            order: (B, L), the positions in reading order; None for raster order.
            rng: for dropout; None for no dropout.

        Returns:
            (B, L, K), always in raster order.
        """
        positions = self._raster(codes.device)[None] if order is None else order
        before = codes if order is None else codes.gather(1, order)
        tokens = self.network.embed(before[:, :-1], positions[:, :-1])
        # `len` would fix the batch of an exported program.
        tokens = torch.cat([self.first.expand(codes.shape[0], 1, -1), tokens], dim=1) + self.targets(positions)
        features = self.network(tokens, conditions, rng)
        if order is not None:
            features = features.gather(1, order.argsort(dim=1)[..., None].expand_as(features))
        return self.network.logits(features)

    def pure_functions(self) -> dict[str, PureFunction]:
        """Returns `logits` of codes and conditions in raster order; the last condition stands for no class."""
        codes = torch.arange(3 * self.codes.length).unflatten(0, (3, -1)) % self.codes.codebook_size
        inputs = {"codes": codes, "conditions": torch.arange(3) % (self.no_class + 1)}
        return {"logits": PureFunction(self.logits, (self,), inputs, ("logits",))}

    def loss(self, codes: Tensor, labels: Tensor | None, rng: torch.Generator, images_seen: int) -> Tensor:
        """Returns the mean cross entropy of all codes that are not given."""
        conditions = self.dropped(self.conditions(labels, codes), rng)
        logits = self.logits(codes, conditions, self._order(codes, rng, images_seen), rng)
        known_codes = self.codes.given
        return cross_entropy(logits[:, known_codes:].float().flatten(0, 1), codes[:, known_codes:].flatten())

    def nll(self, codes: Tensor, labels: Tensor | None, seeds: Tensor) -> Tensor:
        """Returns −log p(codes | label) in raster order; nothing is drawn by `seeds`."""
        logits = self.logits(codes, self.conditions(labels, codes))
        entropies = cross_entropy(logits.float().transpose(1, 2), codes, reduction="none")
        return entropies[:, self.codes.given :].sum(dim=1)

    @torch.no_grad()
    def sample(
        self, labels: Tensor | None, draws: Draws, codes: Tensor | None = None, unknown: Tensor | None = None
    ) -> Tensor:
        """Draws one code after another, in L passes of one token each; known codes are kept."""
        codes, unknown = self.start(draws, codes, unknown, self.first.device)
        conditions = self.with_guides(self.conditions(labels, codes))
        uniforms = draws.uniforms(self.codes.length, device=codes.device)
        caches = [Cache(self.codes.length) for _ in self.network.blocks]
        raster = self._raster(codes.device)
        token = self.first.expand(len(conditions), 1, -1)
        for position in range(self.codes.length):
            here = raster[position : position + 1]
            features = self.network(token + self.targets(here), conditions, caches=caches)
            logits = self.guided(self.network.logits(features, position), len(codes))[:, 0]
            draw = self.decoding(logits, uniforms[:, position])
            codes[:, position] = torch.where(unknown[:, position], draw, codes[:, position])
            token = self.network.embed(codes[:, position : position + 1], here)
            token = token.repeat(len(conditions) // len(codes), 1, 1)
        return codes

    def _raster(self, device: torch.device) -> Tensor:
        return torch.arange(self.codes.length, device=device)

    def _order(self, codes: Tensor, rng: torch.Generator, images_seen: int) -> Tensor | None:
        """Returns (B, L), a random order for some images and raster order for others; None for raster order alone."""
        if self.order_annealing is None or images_seen >= self.order_annealing[1]:
            return None
        start, end = self.order_annealing
        share = Linear(1.0, 0.0, end - start)(max(images_seen - start, 0))
        shuffled = rand_rows(len(codes), 1, rng=rng) < share
        places = rand_rows(*codes.shape, rng=rng)
        places[:, : self.codes.given] = torch.linspace(-1, 0, self.codes.given + 1)[:-1]  # the given ones come first
        orders = places.argsort(dim=1).to(codes.device)
        return torch.where(shuffled.to(codes.device), orders, self._raster(codes.device))
