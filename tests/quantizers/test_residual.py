from functools import partial

import pytest
import torch

from gen_experiments.errors import UserError
from gen_experiments.quantizers.ema import EMAQuantizer
from gen_experiments.quantizers.estimators import RotationTrick
from gen_experiments.quantizers.fsq import FSQ
from gen_experiments.quantizers.gradient import GradientQuantizer
from gen_experiments.quantizers.hierarchy import HierarchicalQuantizer
from gen_experiments.quantizers.residual import ResidualQuantizer


def _latents(seed=0, batch=4):
    return torch.randn(batch, 3, 4, 4, generator=torch.Generator().manual_seed(seed))


LEVELS = {
    "ema": partial(EMAQuantizer, 8, 3),
    "cosine gradient": partial(GradientQuantizer, 8, 3, cosine=True, revive_below=0.9),
    "fsq": partial(FSQ, (4, 3, 5)),
}


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("level", LEVELS)
def test_shapes_decoding_and_gradient(level, shared):
    torch.manual_seed(0)
    quantizer = ResidualQuantizer(LEVELS[level], depth=3, shared=shared, scale=0.5)
    z = _latents().requires_grad_()
    quantized = quantizer(z)
    (quantized.loss + quantized.values.sum()).backward()
    assert z.grad.isfinite().all()
    quantized = quantizer.eval()(_latents(1))
    assert quantized.indices.shape == (4, 3, 4, 4)
    assert torch.equal(quantizer.decode(quantized.indices), quantized.values)
    states = {name.split(".")[1] for name in quantizer.state_dict() if name.startswith("stages.")}
    assert len(states) == (0 if level == "fsq" else 1 if shared else 3) + (level == "fsq") * len(states)


def test_gradient_of_the_values_is_one_whatever_the_depth():
    z = _latents().requires_grad_()
    ResidualQuantizer(LEVELS["ema"], depth=3)(z).values.sum().backward()
    assert torch.equal(z.grad, torch.ones_like(z))


def test_levels_by_hand():
    quantizer = ResidualQuantizer(partial(EMAQuantizer, 2, 1, commitment=1.0), depth=2).eval()
    for stage, codes in zip(quantizer.stages, ([0.0, 10.0], [-1.0, 2.0]), strict=True):
        stage.codebook.copy_(torch.tensor(codes)[:, None])
    quantized = quantizer(torch.tensor([8.0, 1.0]).reshape(1, 1, 1, 2))
    assert quantized.indices[0, :, 0].tolist() == [[1, 0], [0, 1]]
    assert quantized.values.flatten().tolist() == [9.0, 2.0]
    # Squares of the residuals: 4 and 1 at the first level, 1 and 1 at the second.
    assert quantized.loss.item() == pytest.approx(2.5 + 1.0)


def test_each_level_brings_the_values_nearer():
    torch.manual_seed(0)
    quantizer = ResidualQuantizer(LEVELS["ema"], depth=4)
    for _ in range(5):
        quantizer(_latents())
    indices = quantizer.eval()(_latents()).indices
    errors = [(quantizer.decode(indices[:, :n]) - _latents()).square().mean().item() for n in range(1, 5)]
    assert errors == sorted(errors, reverse=True)


def test_one_level_is_its_quantizer():
    torch.manual_seed(0)
    single = EMAQuantizer(8, 3).eval()
    quantizer = ResidualQuantizer(lambda: single, depth=1).eval()
    expected, quantized = single(_latents()), quantizer(_latents())
    assert torch.equal(quantized.indices, expected.indices)
    assert torch.equal(quantized.values, expected.values)
    assert torch.equal(quantizer.decode(quantized.indices), expected.values)


def test_dropout_leaves_out_the_finest_levels_of_some_images():
    torch.manual_seed(0)
    quantizer = ResidualQuantizer(partial(FSQ, (3, 3, 3)), depth=3, scale=0.5, dropout=0.75)
    z = _latents(batch=64)
    quantized = quantizer(z)
    prefixes = [quantizer.decode(quantized.indices[:, :n]) for n in (1, 2, 3)]
    kept = [[n for n, prefix in enumerate(prefixes) if torch.equal(prefix[i], quantized.values[i])] for i in range(64)]
    assert all(kept)
    counts = [sum(n in image for image in kept) for n in range(3)]
    assert counts[0] > 5
    assert counts[2] > counts[0]
    again = ResidualQuantizer(partial(FSQ, (3, 3, 3)), depth=3, scale=0.5, dropout=0.75)
    assert torch.equal(again(z).values, quantized.values)
    again.load_state_dict(quantizer.state_dict())
    second = again(z).values
    assert torch.equal(second, quantizer(z).values)
    # Of FSQ, which learns nothing, other images are cut short in the second batch.
    assert not torch.equal(second, quantized.values)
    assert torch.equal(quantizer.eval()(z).values, prefixes[2])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"depth": 0}, "depth must be"),
        ({"scale": 0.0}, "scale must be"),
        ({"dropout": 1.5}, "dropout must be"),
        ({"quantizer": ResidualQuantizer}, "must be single, but ResidualQuantizer has several"),
        ({"quantizer": lambda: HierarchicalQuantizer(FSQ(), FSQ())}, "HierarchicalQuantizer has several"),
        (
            {"quantizer": lambda: EMAQuantizer(estimator=RotationTrick())},
            "give RotationTrick to the estimator of the residual",
        ),
    ],
)
def test_senseless_settings_are_refused(wrong, message):
    with pytest.raises(UserError, match=message):
        ResidualQuantizer(**wrong)
