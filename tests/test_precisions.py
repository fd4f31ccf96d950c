"""Runs under every precision of Lightning's trainer: what is computed in it, and what stays in float32."""

import copy
import csv
import math
from contextlib import contextmanager

import pytest
import torch
from lightning.pytorch import Callback

from conftest import CONFIGS, SHORT, SMALL, SMALL_PRIOR
from gen_experiments.data.damage_parts import Blur, DownScaling, GaussianNoise, Mask, Scratches
from gen_experiments.data.jpeg import JPEG
from gen_experiments.images import to_float
from gen_experiments.losses.trained_perceptual import TrainedPerceptual
from gen_experiments.precision import CastsInputs, KeepsPrecision
from gen_experiments.quantizers.ema import EMAQuantizer
from gen_experiments.quantizers.estimators import RotationTrick
from gen_experiments.quantizers.fsq import FSQ
from gen_experiments.quantizers.gradient import GradientQuantizer
from gen_experiments.quantizers.lfq import LFQ
from gen_experiments.quantizers.residual import ResidualQuantizer
from gen_experiments.quantizers.simvq import SimVQ
from gen_experiments.training.optimizers import raise_eps
from small_models import IMAGES, fit, gan, train, vqvae, write_classifier

TRUE = ["bf16-true", "16-true", "64-true"]
WEIGHTS = {"bf16-true": torch.bfloat16, "16-true": torch.float16, "64-true": torch.float64}
QUANTIZERS = {
    "cosine": lambda: EMAQuantizer(16, 4, cosine=True),
    "online": lambda: EMAQuantizer(16, 4, online_clustering=True),
    "gradient": lambda: GradientQuantizer(16, 4, estimator=RotationTrick()),
    "simvq": lambda: SimVQ(16, 4),
    "fsq": lambda: FSQ((5, 4, 3, 2)),
    "lfq": lambda: LFQ(4),
    "residual": lambda: ResidualQuantizer(lambda: EMAQuantizer(16, 4), depth=3, dropout=0.5),
}


def floats(folder):
    """Every number of a run's last row of metrics, by name, that it logs while it trains and validates."""
    with open(folder / "metrics.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {name: float(row[name]) for row in rows for name in row if row[name]}


def fitted(experiment, tmp_path, name, *options):
    assert experiment("fit", *options, *SHORT, "--trainer.max_steps=2") == 0
    values = floats(tmp_path / "runs" / name / "version_0")
    assert all(math.isfinite(value) for value in values.values()), values
    return torch.load(tmp_path / "runs" / name / "version_0" / "checkpoints" / "last.ckpt", weights_only=True)


@pytest.mark.filterwarnings("ignore:eps=1e-08 of Adam is 0 in float16")
@pytest.mark.parametrize("precision", TRUE)
def test_a_vqvae_trains(experiment, tmp_path, precision):
    state = fitted(experiment, tmp_path, "vqvae", *SMALL["vqvae"], f"--trainer.precision={precision}")["state_dict"]
    assert {value.dtype for name, value in state.items() if name.startswith("encoder.")} == {WEIGHTS[precision]}
    assert state["quantizer.codebook"].dtype == torch.float32
    checkpoint = tmp_path / "runs/vqvae/version_0/checkpoints/last.ckpt"
    assert experiment("test", *SMALL["vqvae"], f"--trainer.precision={precision}", f"--ckpt_path={checkpoint}") == 0


@pytest.mark.filterwarnings("ignore:eps=1e-08 of Adam is 0 in float16")
@pytest.mark.parametrize("precision", TRUE)
def test_a_gan_trains(experiment, tmp_path, precision):
    # A gradient through batch norm and R1 leaves float16's range.
    penalties = ["--model.penalties=null"] if precision == "16-true" else []
    options = [*SMALL["gan"], *penalties, f"--trainer.precision={precision}"]
    state = fitted(experiment, tmp_path, "gan", *options)["state_dict"]
    assert {value.dtype for name, value in state.items() if name.startswith("generator.") and "weight" in name} == {
        WEIGHTS[precision]
    }
    assert {value.dtype for name, value in state.items() if name.startswith("ema.") and "weight" in name} == {
        torch.float32
    }
    assert experiment("sample", tmp_path / "runs/gan/version_0/checkpoints/last.ckpt", "--num=4") == 0


@pytest.mark.filterwarnings("ignore:eps=1e-08 of Adam")
@pytest.mark.parametrize("precision", TRUE)
def test_a_prior_trains(experiment, tmp_path, checkpoints, precision):
    options = [*SMALL_PRIOR, f"--model.vqvae={checkpoints['vqvae']}", f"--trainer.precision={precision}"]
    fitted(experiment, tmp_path, "prior", *options)
    assert experiment("sample", tmp_path / "runs/prior/version_0/checkpoints/last.ckpt", "--num=4") == 0


@pytest.mark.filterwarnings("ignore:eps=1e-08 of Adam is 0 in float16")
@pytest.mark.parametrize("precision", TRUE)
@pytest.mark.parametrize("quantizer", QUANTIZERS)
def test_every_quantizer_trains(tmp_path, quantizer, precision):
    torch.manual_seed(0)
    model = vqvae(quantizer=QUANTIZERS[quantizer]())
    before = copy.deepcopy(model.state_dict())
    fit(model, Callback(), 3, tmp_path, precision=precision)
    after = model.state_dict()
    assert all(value.isfinite().all() for value in after.values())
    assert any(not torch.equal(after[name], before[name].to(after[name].dtype)) for name in after if "encoder" in name)


@pytest.mark.filterwarnings("ignore:eps=1e-08 of Adam")
@pytest.mark.parametrize("precision", TRUE)
def test_a_classifier_trains_and_compares_images_in_float32(experiment, tmp_path, precision):
    write_classifier(tmp_path / "classifier.ckpt", channels=1)
    loss = TrainedPerceptual(str(tmp_path / "classifier.ckpt"))
    images = to_float(IMAGES[:2])
    expected = TrainedPerceptual(str(tmp_path / "classifier.ckpt"))(-images, images)
    fit(vqvae(reconstruction=loss), Callback(), 1, tmp_path, precision=precision)
    torch.testing.assert_close(loss(-images, images), expected)
    options = [f"--config={CONFIGS / 'extractor.yaml'}", "--model.network.width=4", f"--trainer.precision={precision}"]
    assert experiment("fit", *options, *SHORT, "--trainer.max_steps=2") == 0


@contextmanager
def bfloat16_as_default():
    """What Lightning does under `bf16-true`."""
    try:
        torch.set_default_dtype(torch.bfloat16)
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("quantizer", QUANTIZERS)
def test_codes_and_values_do_not_depend_on_the_default_dtype(quantizer):
    torch.manual_seed(0)
    made, z = QUANTIZERS[quantizer]().eval(), torch.randn(2, 4, 8, 8)
    expected = made(z)
    with bfloat16_as_default():
        found = made(z)
        decoded = made.decode(found.indices)
    assert torch.equal(found.indices, expected.indices)
    torch.testing.assert_close(found.values, expected.values, rtol=0, atol=0)
    torch.testing.assert_close(decoded, made.decode(expected.indices), rtol=0, atol=0)


@pytest.mark.parametrize("part", [GaussianNoise(), Blur(), DownScaling([2, 4]), JPEG(), Mask(), Scratches()])
def test_damage_does_not_depend_on_the_default_dtype(part):
    images, seeds = torch.rand(2, 3, 150, 200) * 2 - 1, torch.tensor([5, 6])  # bfloat16 has no 128.5
    expected = part(images, seeds)
    with bfloat16_as_default():
        found = part(images, seeds)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_double_precision_computes_what_single_does_up_to_rounding(tmp_path):
    single, double = (
        train(gan(), 3, tmp_path, precision=precision, log_every_n_steps=1)[1].generator[-1]
        for precision in ("32-true", "64-true")
    )
    for name in single:
        assert double[name].dtype == torch.float64
        torch.testing.assert_close(single[name].double(), double[name], rtol=1e-3, atol=1e-5)
    assert any(not torch.equal(single[name].double(), double[name]) for name in single)


def test_averages_and_codebooks_keep_float32():
    quantizer = EMAQuantizer(4, 2)
    quantizer.to(torch.bfloat16)
    assert quantizer.codebook.dtype == quantizer.hits.dtype == torch.float32
    model = gan(ema_half_life=100.0)
    model.to(torch.bfloat16)
    assert next(model.generator.parameters()).dtype == torch.bfloat16
    assert next(model.ema.parameters()).dtype == torch.float32


def test_inputs_take_the_precision_of_the_weights():
    class Twice(CastsInputs):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.tensor(2.0))

        def forward(self, x, labels=None):
            assert labels is None or labels.dtype == torch.int64
            return x * self.weight

    for dtype in (torch.bfloat16, torch.float64):
        assert Twice().to(dtype)(torch.ones(2), torch.ones(2, dtype=torch.int64)).dtype == dtype


def test_a_module_that_keeps_its_precision_still_moves():
    module = KeepsPrecision()
    module.register_buffer("count", torch.ones(1))
    module.to(torch.float16)
    assert module.count.dtype == torch.float32
    assert module.to("meta").count.device.type == "meta"


def test_an_eps_that_float16_rounds_away_is_raised():
    half, single = (torch.nn.Parameter(torch.ones(2, dtype=dtype)) for dtype in (torch.float16, torch.float32))
    optimizers = [torch.optim.Adam([half]), torch.optim.Adam([single]), torch.optim.SGD([half])]
    with pytest.warns(UserWarning, match="eps=1e-08 of Adam is 0 in float16: 1e-4 is used"):
        raise_eps(optimizers)
    assert [group.get("eps") for optimizer in optimizers for group in optimizer.param_groups] == [1e-4, 1e-8, None]
    half.grad = torch.full_like(half, 1e-5)
    optimizers[0].step()
    assert half.isfinite().all()


VQGAN = f"--config={CONFIGS / 'experiments' / 'vqvae' / 'vqgan_mnist.yaml'}"
JUDGED = {
    "gan": SMALL["gan"],
    "translation": [f"--config={CONFIGS / 'translation.yaml'}", "--model.generator.width=4", "--data.size=16"],
    "vqgan": [SMALL["vqvae"][0], VQGAN, *SMALL["vqvae"][1:], "--model.adversary.start=0", "--model.adversary.ramp=0"],
}


@pytest.mark.parametrize("name", JUDGED)
def test_under_bf16_adversarial_losses_are_those_of_float32(experiment, tmp_path, name):
    options = [*JUDGED[name], *SHORT, f"--run.name={name}", "--trainer.limit_val_batches=0", "--trainer.max_steps=1"]
    assert experiment("fit", *options, "--trainer.precision=bf16-mixed") == 0
    # A GAN's discriminator has a penalty beside, which float32 computes anyway.
    loss = floats(tmp_path / "runs" / name / "version_0")["train/loss_g" if name == "gan" else "train/loss_d"]
    # The mean of logits' losses that were rounded to 8 bits would be a number of 8 bits itself.
    assert loss != float(torch.tensor(loss).bfloat16())
