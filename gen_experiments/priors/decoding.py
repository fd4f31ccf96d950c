"""From logits to codes: guidance, temperature, top-k, top-p and the draw itself."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gen_experiments.errors import check_interval


@dataclass(frozen=True)
class Decoding:
    """How codes are drawn from logits.

    Args:
        temperature: the logits are divided by it; > 0.
        top_k: only the k likeliest codes are drawn; 0 for all.
        top_p: only the likeliest codes that together have at least this probability are drawn; in (0, 1], 1 for all.
        guidance: w of classifier-free guidance; >= 0, 0 for none.

    Raises:
        UserError: a number out of range.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    guidance: float = 0.0

    def __post_init__(self) -> None:
        check_interval("(0, inf)", temperature=self.temperature)
        check_interval("[0, inf)", top_k=self.top_k, guidance=self.guidance)
        check_interval("(0, 1]", top_p=self.top_p)

    def __call__(self, logits: Tensor, uniforms: Tensor) -> Tensor:
        """Draws (...) codes from (..., K) logits (after guidance) by (...) uniform numbers."""
        return draw(filter_logits(logits, self.temperature, self.top_k, self.top_p), uniforms)


@dataclass(frozen=True)
class DecodingChanges:
    """What to change of a `Decoding`, such as that of a trained prior; None leaves a value as it is.

    Args:
        temperature: the logits are divided by it; > 0.
        top_k: only the k likeliest codes are drawn; 0 for all.
        top_p: only the likeliest codes that together have at least this probability are drawn; in (0, 1], 1 for all.
        guidance: w of classifier-free guidance, for a prior of classes; >= 0, 0 for none. Where a scale s multiplies
            the difference to samples of no class, w is s - 1.
    """

    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    guidance: float | None = None

    def applied_to(self, decoding: Decoding) -> Decoding:
        """Returns the changed decoding.

        Raises:
            UserError: a number out of range.
        """
        return replace(decoding, **{name: value for name, value in vars(self).items() if value is not None})


UNCHANGED = DecodingChanges()


def guide_logits(conditional: Tensor, unconditional: Tensor, guidance: float) -> Tensor:
    """Applies classifier-free guidance (https://arxiv.org/abs/2207.12598): l_∅ + (1 + w)(l_c − l_∅), w = `guidance`."""
    return unconditional + (1 + guidance) * (conditional - unconditional)


def filter_logits(logits: Tensor, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0) -> Tensor:
    """Divides (..., K) logits by the temperature and sets those outside top-k, then those outside top-p, to −∞.

    Top-p (https://arxiv.org/abs/1904.09751) keeps a code if all likelier codes together have less than `top_p`: the
    likeliest code always stays.
    """
    logits = logits.float() / temperature
    if 0 < top_k < logits.shape[-1]:
        top = logits.topk(top_k, dim=-1)
        logits = torch.full_like(logits, -torch.inf).scatter(-1, top.indices, top.values)
    if top_p < 1:
        ordered, order = logits.sort(dim=-1, descending=True)
        shares = ordered.softmax(dim=-1)
        likelier = shares.cumsum(dim=-1) - shares
        logits = logits.scatter(-1, order, ordered.masked_fill(likelier >= top_p, -torch.inf))
    return logits


def draw(logits: Tensor, uniforms: Tensor) -> Tensor:
    """Draws codes by the inverse of the cumulative distribution.

    Args:
        logits: (..., K).
        uniforms: (...) in [0, 1), one for each draw.

    Returns:
        (...) int64, never a code whose logit is −∞.
    """
    shares = logits.softmax(dim=-1)
    sums = shares.cumsum(dim=-1)
    codes = torch.searchsorted(sums, (uniforms * sums[..., -1])[..., None], right=True)
    codes = codes.clamp(max=logits.shape[-1] - 1)
    # A parallel sum may rise by a rounding error where a share is zero.
    impossible = shares.gather(-1, codes) == 0
    return torch.where(impossible, shares.argmax(dim=-1, keepdim=True), codes)[..., 0]
