"""The masked prior: predicts all hidden codes at once from the others."""

import math
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, pad

from gen_experiments import distributed
from gen_experiments.errors import check_interval
from gen_experiments.networks.transformer import CodeTransformer
from gen_experiments.priors.base import CodeSpec, Draws, Prior
from gen_experiments.priors.decoding import Decoding
from gen_experiments.pure_functions import PureFunction
from gen_experiments.randomness import rand_rows, uniform_of

MAX_STEPS = 1000


class MaskedPrior(Prior):
    """MaskGIT (https://arxiv.org/abs/2202.04200): a bidirectional transformer trained to fill in hidden codes.

    In training a share cos(πr/2) of an image's codes is hidden, r uniform in [0, 1). Samples are drawn in a few steps.
    Each step draws all unknown codes and hides those of least confidence again, so that after a share t of the steps a
    share cos(πt/2) of the unknown codes is left; every step fixes at least one code, so that an image of fewer unknown
    codes takes fewer steps. Confidence is a code's log-probability plus Gumbel noise that decreases to 0.

    Args:
        codes: the shape of the codes.
        width: length of a token's vector.
        depth: number of transformer blocks.
        heads: number of attention heads; divides the width.
        dropout: dropout of the output of each block's layers in training; in [0, 1).
        class_drop: share of the training images whose label is dropped, for guidance; in [0, 1].
        label_smoothing: share of the training target that is spread over all codes; in [0, 1).
        steps: the largest number of passes through the network per sample, in [1, 1000]; 8 to 12 are usual.
        choice_temperature: the factor of the Gumbel noise at the first step, falling linearly to 0 at the last; >= 0.
        temperature: the logits are divided by it; > 0.
        top_k: only the k likeliest codes are drawn; 0 for all.
        top_p: only the likeliest codes that together have at least this probability are drawn; in (0, 1], 1 for all.
        guidance: w of classifier-free guidance, at twice the cost; >= 0, 0 for none. Without labels it has no effect.

    Raises:
        UserError: a number out of range.
    """

    exact: ClassVar[bool] = False

    def __init__(
        self,
        codes: CodeSpec,
        width: int = 256,
        depth: int = 8,
        heads: int = 8,
        dropout: float = 0.1,
        class_drop: float = 0.1,
        label_smoothing: float = 0.1,
        steps: int = 10,
        choice_temperature: float = 4.5,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        guidance: float = 0.0,
    ) -> None:
        super().__init__(codes, class_drop, Decoding(temperature, top_k, top_p, guidance))
        check_interval("[0, 1)", label_smoothing=label_smoothing)
        check_interval(f"[1, {MAX_STEPS}]", steps=steps)
        check_interval("[0, inf)", choice_temperature=choice_temperature)
        self.label_smoothing, self.steps, self.choice_temperature = label_smoothing, steps, choice_temperature
        self.network = CodeTransformer(
            codes.grids, codes.codebook_size, self.no_class + 1, width, depth, heads, dropout, causal=False
        )

    def logits(self, codes: Tensor, hidden: Tensor, conditions: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """Maps (B, L) codes, (B, L) bool which of them the network does not see, (B,) conditions -> (B, L, K)."""
        seen = codes.masked_fill(hidden, self.codes.codebook_size)
        tokens = self.network.embed(seen, torch.arange(self.codes.length, device=codes.device))
        return self.network.logits(self.network(tokens, conditions, rng))

    def pure_functions(self) -> dict[str, PureFunction]:
        """Returns `logits` of codes, hidden codes and conditions; the last condition stands for no class."""
        codes = torch.arange(3 * self.codes.length).unflatten(0, (3, -1)) % self.codes.codebook_size
        conditions = torch.arange(3) % (self.no_class + 1)
        inputs = {"codes": codes, "hidden": codes % 2 == 0, "conditions": conditions}
        return {"logits": PureFunction(self.logits, (self,), inputs, ("logits",))}

    def loss(self, codes: Tensor, labels: Tensor | None, rng: torch.Generator, images_seen: int) -> Tensor:
        """Returns the mean label-smoothed cross entropy of the hidden codes of all processes."""
        conditions = self.dropped(self.conditions(labels, codes), rng)
        shares = torch.cos(0.5 * math.pi * rand_rows(len(codes), rng=rng))
        order = rand_rows(len(codes), self.codes.drawn, rng=rng)
        hidden = self._hide(torch.ceil(shares * self.codes.drawn), order).to(codes.device)
        logits = self.logits(codes, hidden, conditions, rng)
        entropies = _cross_entropy(logits, codes, self.label_smoothing)
        count = distributed.all_reduce_sum(hidden.sum()) / distributed.world_size()
        return (entropies * hidden).sum() / count

    def nll(self, codes: Tensor, labels: Tensor | None, seeds: Tensor) -> Tensor:
        """Estimates the bound of any-order models (https://arxiv.org/abs/2110.02037) from one number n per image.

        L · E[mean cross entropy of n hidden codes], n uniform in 1 … L and the codes hidden uniform.
        """
        number, order = uniform_of(seeds, 1 + self.codes.drawn).tensor_split([1], dim=1)
        hidden = self._hide(1 + (self.codes.drawn * number[:, 0]).floor(), order).to(codes.device)
        entropies = _cross_entropy(self.logits(codes, hidden, self.conditions(labels, codes)), codes)
        return self.codes.drawn * (entropies * hidden).sum(dim=1) / hidden.sum(dim=1)

    @torch.no_grad()
    def sample(
        self, labels: Tensor | None, draws: Draws, codes: Tensor | None = None, unknown: Tensor | None = None
    ) -> Tensor:
        """Fills in the unknown codes in at most `steps` passes; each image has a schedule of its own."""
        device = self.network.tokens.weight.device
        codes, hidden = self.start(draws, codes, unknown, device)
        unknowns = hidden.sum(dim=1, keepdim=True)
        steps = unknowns.clamp(min=1, max=self.steps).double()
        conditions = self.with_guides(self.conditions(labels, codes))
        repeats = len(conditions) // len(codes)
        for step in range(1, int(steps.max()) + 1):
            seen = self.logits(codes.repeat(repeats, 1), hidden.repeat(repeats, 1), conditions)
            logits = self.guided(seen, len(codes)).float()
            uniforms, noise = draws.uniforms(2, self.codes.length, device=device).unbind(1)
            codes = torch.where(hidden, self.decoding(logits, uniforms), codes)
            done = (step / steps).clamp(max=1.0)
            gumbel = -torch.log(-torch.log(noise.clamp(1e-7, 1 - 1e-7)))
            confidence = logits.log_softmax(dim=-1).gather(-1, codes[..., None])[..., 0]
            confidence = confidence + self.choice_temperature * (1 - done).float() * gumbel
            left = torch.floor(torch.cos(0.5 * math.pi * done) * unknowns).clamp(min=1)
            left = torch.where(done < 1, left.minimum(hidden.sum(dim=1, keepdim=True) - 1), 0)
            hidden = _ranks(confidence.masked_fill(~hidden, torch.inf)) < left
        return codes

    def _hide(self, counts: Tensor, order: Tensor) -> Tensor:
        """Returns (B, L) bool, which hides the first `counts` (B,) of each image's codes that are not given.

        Which codes are first is given by the `order` (B, n): random numbers, so that all choices are equally likely.
        """
        hidden = _ranks(order) < counts[:, None]
        return pad(hidden, (self.codes.given, 0))


def _cross_entropy(logits: Tensor, codes: Tensor, label_smoothing: float = 0.0) -> Tensor:
    return cross_entropy(logits.float().transpose(1, 2), codes, reduction="none", label_smoothing=label_smoothing)


def _ranks(values: Tensor) -> Tensor:
    """Returns the rank of each of (B, L) values in its row, ascending from 0."""
    return values.argsort(dim=1, stable=True).argsort(dim=1)
