"""Agreement with the package vector-quantize-pytorch wherever it has the same method.

Where conventions differ: its rotation gives the codes up to rounding (ours exactly); its learned codebook counts the
squared error once (ours as two terms, equal at β = 1); its residual stages each pass the gradient, so that it comes out
multiplied by their number (ours is one); its entropies cut logarithms at 1e-5 (ours at 1e-12); its FSQ has no loss and
refuses two levels.
"""

import pytest
import torch
import vector_quantize_pytorch as library

from gen_experiments.quantizers.ema import EMAQuantizer
from gen_experiments.quantizers.estimators import RotationTrick
from gen_experiments.quantizers.fsq import FSQ
from gen_experiments.quantizers.gradient import GradientQuantizer
from gen_experiments.quantizers.lfq import LFQ
from gen_experiments.quantizers.residual import ResidualQuantizer
from gen_experiments.quantizers.simvq import SimVQ

K, D = 32, 6


def _run(quantizer, z, weights):
    """Values, indices, loss and the gradient w.r.t. the latents of a weighted sum of the values plus the loss."""
    z = z.clone().requires_grad_()
    result = quantizer(z)
    values, indices, loss = result if isinstance(result, tuple) else (result.values, result.indices, result.loss)
    ((values * weights).sum() + loss.sum()).backward()
    return values.detach(), indices.long(), loss.detach().sum(), z.grad


def _assert_equal(ours, theirs, rtol=1e-5, atol=1e-5):
    for own, other in zip(ours, theirs, strict=True):
        assert torch.allclose(own, other.to(own.dtype), rtol=rtol, atol=atol)


@pytest.fixture
def batch():
    source = torch.Generator().manual_seed(0)
    return torch.randn(4, D, 5, 3, generator=source), torch.randn(4, D, 5, 3, generator=source)


@pytest.mark.parametrize("cosine", [False, True])
@pytest.mark.parametrize("rotation", [False, True])
def test_moving_averages(batch, cosine, rotation):
    torch.manual_seed(0)
    ours = EMAQuantizer(
        K, D, 0.9, 0.25, RotationTrick() if rotation else None, cosine, kmeans_start=False, revive_below=0
    )
    theirs = library.VectorQuantize(
        D, K, decay=0.9, commitment_weight=0.25, use_cosine_sim=cosine, rotation_trick=rotation, accept_image_fmap=True
    )
    ours.codebook.copy_(theirs.codebook)
    ours.sums.copy_(theirs._codebook.embed_avg[0])
    ours.hits.copy_(theirs._codebook.cluster_size[0])
    for _ in range(3):
        _assert_equal(_run(ours, *batch), _run(theirs, *batch))
        assert torch.allclose(ours.codes(), theirs.codebook, rtol=1e-4, atol=1e-6)


def test_codebook_by_gradient(batch):
    ours = GradientQuantizer(K, D, commitment=1.0, kmeans_start=False, revive_below=0)
    theirs = library.VectorQuantize(
        D, K, learnable_codebook=True, ema_update=False, rotation_trick=False, accept_image_fmap=True
    )
    ours.load_state_dict({**ours.state_dict(), "codebook": theirs.codebook.detach()})
    values, indices, loss, gradient = _run(theirs, *batch)
    _assert_equal(_run(ours, *batch), (values, indices, 2 * loss, gradient))
    assert torch.allclose(ours.codebook.grad, theirs._codebook.embed.grad[0], atol=1e-6)


@pytest.mark.parametrize("rotation", [False, True])
def test_simvq(batch, rotation):
    ours = SimVQ(K, D, 0.25, RotationTrick() if rotation else None)
    theirs = library.SimVQ(D, K, channel_first=True, rotation_trick=rotation)
    ours.load_state_dict({"frozen": theirs.frozen_codebook, "map.weight": theirs.code_transform.weight})
    _assert_equal(_run(ours, *batch), _run(theirs, *batch))
    assert torch.allclose(ours.map.weight.grad, theirs.code_transform.weight.grad, atol=1e-6)


@pytest.mark.parametrize("levels", [(8, 6, 5), (8, 5, 5, 5), (7, 5, 5, 5, 5)])
def test_fsq_orders_its_codes_likewise(levels):
    # The library bounds latents by 1 + ε and atanh, not as the paper: only the codes themselves are the same.
    ours, theirs = FSQ(levels), library.FSQ(list(levels))
    indices = torch.arange(ours.codebook_size).reshape(1, 1, -1)
    assert torch.allclose(ours.decode(indices), theirs.indices_to_codes(indices))


def test_lfq(batch):
    ours = LFQ(D, commitment=0.25, entropy=0.1, diversity=1.0, temperature=1.0)
    theirs = library.LFQ(dim=D, commitment_loss_weight=0.25, entropy_loss_weight=0.1, diversity_gamma=1.0)
    _assert_equal(_run(ours, *batch), _run(lambda z: theirs(z, inv_temperature=1.0), *batch))


def test_residual(batch):
    depth = 3
    ours = ResidualQuantizer(lambda: EMAQuantizer(K, D, kmeans_start=False, revive_below=0), depth)
    theirs = library.ResidualVQ(
        dim=D,
        codebook_size=K,
        num_quantizers=depth,
        decay=0.99,
        commitment_weight=0.25,
        rotation_trick=False,
    )
    for stage, layer in zip(ours.stages, theirs.layers, strict=True):
        stage.codebook.copy_(layer.codebook)
        stage.sums.copy_(layer._codebook.embed_avg[0])
        stage.hits.copy_(layer._codebook.cluster_size[0])
    # It takes (B, N, D).
    values, indices, loss, gradient = _run(theirs, *(rows.flatten(2).mT for rows in batch))
    gradient = gradient - (depth - 1) * batch[1].flatten(2).mT
    expected = *(rows.mT.unflatten(2, (5, 3)) for rows in (values, indices)), loss, gradient.mT.unflatten(2, (5, 3))
    _assert_equal(_run(ours, *batch), expected)
    for stage, layer in zip(ours.stages, theirs.layers, strict=True):
        assert torch.allclose(stage.codes(), layer.codebook, rtol=1e-4, atol=1e-5)
