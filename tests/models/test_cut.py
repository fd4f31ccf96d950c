import pytest
import torch

from conftest import CONFIGS, SHORT
from gen_experiments import randomness
from gen_experiments.errors import UserError
from gen_experiments.losses.adversarial import LeastSquares
from gen_experiments.losses.contrastive import patch_nce
from gen_experiments.losses.reconstruction import L1
from gen_experiments.models.cut import CUT
from gen_experiments.networks.projector import draw_places
from gen_experiments.randomness import Stream
from run_files import checkpoint, equal
from small_translators import SPEC, Means, Scale, Waves, fit
from test_devices import assert_trained_as_one, train

SMALL = (
    f"--config={CONFIGS / 'translation.yaml'}",
    f"--config={CONFIGS / 'experiments' / 'translation' / 'cut.yaml'}",
    "--model.generator.width=4",
    "--model.generator.residual_blocks=2",
    "--model.discriminator.width=4",
    "--model.discriminator.layers=1",
    "--model.stages=[0,2,4]",
    "--model.patches=16",
    "--model.width=8",
    "--data.crop=centre",  # the recipe's random crops are of picture files
    "--data.crop_scale=[1, 1]",
)


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.1)


def cut(**options):
    torch.manual_seed(0)
    parts = {"loss": LeastSquares(), "optimizer_g": sgd, "optimizer_d": sgd, "contrast": 3.0, "stages": (0, 1)}
    return CUT(SPEC, Waves, Means, **{**parts, "patches": 4, "width": 5, "ema_half_life": 0.0, **options})


@pytest.mark.parametrize(("identity", "weight"), [(False, 0.0), (True, 0.0), (True, 4.0)])
def test_an_iteration_by_hand(tmp_path, identity, weight):
    """The contrast of source and translation, with `identity` its mean with that of the target and its own, and L1."""
    options = {"identity": identity, "unchanged": L1(weight) if weight else None}
    model, again = cut(**options), cut(**options)
    watch = fit(model, tmp_path, a=0.4, b=1.1)
    source, parts = randomness.generator("cpu", 0, Stream.NOISE, 0), []
    generator, a, b = again.generators[0], torch.full((1, 1, 2, 2), 0.4), torch.full((1, 1, 2, 2), 1.1)
    for images in (a, b) if identity else (a,):
        made = generator(images)
        stages = [(images, made), (generator.weight * images, generator.weight * made)]
        places = draw_places([key for key, _ in stages], 4, source)
        of_stages = []
        for network, (key, query), at in zip(again.projector.networks, stages, places, strict=True):
            vectors = [network(each.flatten(2)[..., at].transpose(1, 2)) for each in (query, key)]
            of_stages.append(patch_nce(*(each / each.norm(dim=-1, keepdim=True) for each in vectors), 0.07))
        parts.append(sum(of_stages) / 2)
    contrast = 3 * sum(parts) / len(parts)
    discriminator = again.discriminators[0].weights[0].item()
    fake, real = discriminator * generator(a).mean().item(), discriminator * 1.1
    assert watch.logged[0]["train/loss_d"] == pytest.approx(0.5 * (real - 1) ** 2 + 0.5 * fake**2, rel=1e-5)
    discriminator -= 0.1 * ((real - 1) * 1.1 + fake * generator(a).mean().item())
    adversarial = 0.5 * (discriminator * generator(a).mean() - 1).square()
    assert watch.logged[0]["train/contrast"] == pytest.approx(contrast.item(), rel=1e-5)
    assert watch.logged[0]["train/adversarial"] == pytest.approx(float(adversarial), rel=1e-5)
    unchanged = weight * (generator(b) - b).abs().mean()
    assert watch.logged[0].get("train/unchanged", 0.0) == pytest.approx(float(unchanged), rel=1e-5)
    (contrast + adversarial + unchanged).backward()
    for after, before in zip(
        [*model.generators.parameters(), *model.projector.parameters()],
        [*again.generators.parameters(), *again.projector.parameters()],
        strict=True,
    ):
        torch.testing.assert_close(after, before - 0.1 * before.grad, rtol=1e-4, atol=1e-6)
    assert watch.steps == [1]


@pytest.mark.long
def test_a_resumed_run_ends_with_the_same_weights(experiment, tmp_path):
    options = [*SMALL, *SHORT, "--trainer.val_check_interval=20"]
    assert experiment("fit", *options, "--run.name=whole", "--trainer.max_steps=4") == 0
    assert experiment("fit", *options, "--run.name=part", "--trainer.max_steps=2") == 0
    assert experiment("fit", *options, "--run.name=part", "--trainer.max_steps=4", "--ckpt_path=last") == 0
    resumed, unbroken = (
        checkpoint(tmp_path / "runs" / name / "version_0" / "checkpoints" / "last.ckpt") for name in ("part", "whole")
    )
    for key in ("state_dict", "optimizer_states", "images_seen", "global_step"):
        assert equal(resumed[key], unbroken[key]), key


@pytest.mark.parametrize("precision", ["bf16-true", "64-true"])
def test_it_trains_in_another_precision(experiment, tmp_path, precision):
    assert experiment("fit", *SMALL, *SHORT, "--trainer.max_steps=2", f"--trainer.precision={precision}") == 0
    state = checkpoint(tmp_path / "runs" / "cut" / "version_0" / "checkpoints" / "last.ckpt")["state_dict"]
    kinds = {name.split(".")[0]: value.dtype for name, value in state.items() if value.is_floating_point()}
    expected = {"bf16-true": torch.bfloat16, "64-true": torch.float64}[precision]
    assert (kinds["generators"], kinds["projector"], kinds["averages"]) == (expected, expected, torch.float32)


@pytest.mark.long
def test_two_processes_train_as_one(tmp_path):
    (alone,) = train(SMALL, "alone", tmp_path, 1)
    assert_trained_as_one(alone, train(SMALL, "devices", tmp_path, 1))


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: CUT(SPEC, Scale, Means, LeastSquares(), sgd, sgd), "which Scale has not"),
        (lambda: cut(stages=(0, 2)), "some of 0 to 1"),
        (lambda: cut(stages=()), "some of 0 to 1"),
        (lambda: cut(contrast=-1.0), "contrast must be"),
        (lambda: cut(patches=1), "patches must be"),
        (lambda: cut(identity=False, unchanged=L1()), "unchanged compares target pictures"),
    ],
)
def test_impossible_models_are_refused(build, said):
    with pytest.raises(UserError, match=said):
        build()
