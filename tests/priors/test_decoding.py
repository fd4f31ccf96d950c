"""From logits to codes."""

import pytest
import torch

from gen_experiments.errors import UserError
from gen_experiments.priors.decoding import Decoding, draw, filter_logits, guide_logits

SHARES = torch.tensor([0.1, 0.4, 0.2, 0.3])


def _kept(**options):
    return filter_logits(SHARES.log(), **options).isfinite().nonzero()[:, 0].tolist()


def test_filters_by_hand():
    assert _kept() == [0, 1, 2, 3]
    assert _kept(top_k=2) == [1, 3]
    assert _kept(top_k=9) == [0, 1, 2, 3]
    assert _kept(top_p=0.35) == [1]
    assert _kept(top_p=0.45) == [1, 3]
    assert _kept(top_p=0.75) == [1, 2, 3]
    # One of two equal codes has what is asked for.
    assert filter_logits(torch.zeros(2), top_p=0.5).isfinite().sum() == 1
    # Among the two likeliest the first has 4/7.
    assert _kept(top_k=2, top_p=0.5) == [1]
    # The temperature comes first: squared shares are 1, 16, 4, 9 of 30.
    assert _kept(temperature=0.5, top_p=0.5) == [1]
    assert torch.allclose(filter_logits(SHARES.log(), temperature=0.5).softmax(-1) * 30, torch.tensor([1.0, 16, 4, 9]))


@pytest.mark.parametrize("options", [{"top_k": 1}, {"top_p": 1e-6}, {"temperature": 1e-4}])
def test_the_likeliest_is_left(options):
    logits = torch.randn(50, 7, 100)
    drawn = Decoding(**options)(logits, torch.rand(50, 7))
    assert torch.equal(drawn, logits.argmax(-1))


def test_guidance_by_hand():
    conditional, unconditional = torch.tensor([1.0, 4.0]), torch.tensor([0.0, 5.0])
    assert guide_logits(conditional, unconditional, 0.0).tolist() == [1, 4]
    assert guide_logits(conditional, unconditional, 2.0).tolist() == [3, 2]


def test_a_draw_inverts_the_cumulative_distribution():
    uniforms = torch.tensor([0.0, 0.09, 0.11, 0.49, 0.51, 0.69, 0.71, 1 - 2**-24])
    assert draw(SHARES.log().expand(8, -1), uniforms).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


def test_the_shares_of_many_draws():
    uniforms = (torch.arange(10_000) + 0.5) / 10_000
    counts = draw(SHARES.log().expand(10_000, -1), uniforms).bincount(minlength=4)
    assert torch.allclose(counts / 10_000, SHARES, atol=2e-4)


def test_impossible_codes_are_never_drawn():
    logits = torch.full((2, 6), -torch.inf)
    logits[:, 2] = 0.0
    assert draw(logits, torch.tensor([0.0, 1 - 2**-24])).tolist() == [2, 2]


@pytest.mark.parametrize(
    "wrong", [{"temperature": 0.0}, {"top_k": -1}, {"top_p": 0.0}, {"top_p": 1.1}, {"guidance": -0.5}]
)
def test_numbers_out_of_range(wrong):
    with pytest.raises(UserError, match="must be"):
        Decoding(**wrong)
