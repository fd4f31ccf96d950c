import math

import pytest
import torch

from formula_weights import waves
from gen_experiments.losses.contrastive import patch_nce


def test_patch_nce_by_hand():
    """Two images of two places; τ = ½."""
    queries = torch.tensor([[[1.0, 0.0], [0.6, 0.8]], [[0.0, 1.0], [1.0, 0.0]]], requires_grad=True)
    keys = torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [0.8, 0.6]]], requires_grad=True)
    # Dot products with the own and with the other place's key.
    products = [(1.0, 0.0), (0.8, 0.6), (1.0, 0.6), (0.8, 0.0)]
    expected = sum(math.log(1 + math.exp((other - own) / 0.5)) for own, other in products) / 4
    loss = patch_nce(queries, keys, 0.5)
    assert loss.item() == pytest.approx(expected, rel=1e-6)
    loss.backward()
    assert keys.grad is None
    assert queries.grad.abs().sum() > 0


def test_it_is_that_of_the_authors_code():
    """models/patchnce.py: the positive beside the negatives, of which the own place counts as −10."""
    source = torch.Generator().manual_seed(0)
    queries, keys = (torch.nn.functional.normalize(torch.randn(3, 7, 5, generator=source), dim=-1) for _ in range(2))
    positive = (queries * keys).sum(-1, keepdim=True)
    negative = torch.einsum("bid,bjd->bij", queries, keys).masked_fill(torch.eye(7, dtype=torch.bool), -10.0)
    scores = torch.cat([positive, negative], dim=2).flatten(0, 1) / 0.07
    expected = (scores.logsumexp(1) - scores[:, 0]).mean()
    torch.testing.assert_close(patch_nce(queries, keys, 0.07), expected)


def test_autocast_does_not_round_the_similarities():
    queries, keys = (torch.nn.functional.normalize(waves(2, 6, 8 + n)[..., :8].float(), dim=2) for n in (0, 1))
    with torch.autocast("cpu", torch.bfloat16):
        loss = patch_nce(queries, keys, 0.07)
    torch.testing.assert_close(loss, patch_nce(queries, keys, 0.07), rtol=1e-6, atol=0)
