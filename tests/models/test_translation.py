"""pix2pix and CycleGAN: what an iteration does, by hand; what they refuse; resumption and two processes."""

import math

import pytest
import torch
from torch.utils.data import DataLoader

from conftest import CONFIGS, SHORT
from gen_experiments.errors import UserError
from gen_experiments.images import Batch
from gen_experiments.losses.adversarial import LeastSquares, NonSaturating, RelativisticPaired
from gen_experiments.losses.penalties import R1
from gen_experiments.losses.reconstruction import L1
from gen_experiments.models.cyclegan import CycleGAN
from gen_experiments.models.pix2pix import Pix2Pix
from gen_experiments.schedules import Constant
from run_files import checkpoint, curve, equal
from small_models import quiet_trainer, sgd
from small_translators import SPEC, Means, Scale, Watch, fit
from test_devices import assert_trained_as_one
from test_devices import train as train_processes

TRANSLATION = CONFIGS / "translation.yaml"
MODELS = {
    "pix2pix": (
        f"--config={TRANSLATION}",
        "--model.generator.width=4",
        "--model.discriminator.width=4",
        "--model.augmentation=DiffAugment",
        "--model.augmentation_strength=AdaptiveStrength",
        "--model.augmentation_strength.images=200",
        "--model.augmentation_strength.target=-0.9",  # nearly always up
        "--model.augmentation_strength.every=2",
    ),
    "cyclegan": (
        f"--config={TRANSLATION}",
        f"--config={CONFIGS / 'experiments' / 'translation' / 'cyclegan.yaml'}",
        "--model.generator.width=4",
        "--model.generator.residual_blocks=1",
        "--model.discriminator.width=4",
        "--model.discriminator.layers=1",
        "--model.buffer=20",
        "--data.crop=centre",  # the recipe's random crops are of picture files
        "--data.crop_scale=[1, 1]",
    ),
}


def pix2pix(**options):
    parts = {"loss": NonSaturating(), "reconstruction": L1(10.0), "optimizer_g": sgd, "optimizer_d": sgd}
    return Pix2Pix(SPEC, Scale, Means, **{**parts, "ema_half_life": 0.0, **options})


def cyclegan(**options):
    weights = iter([0.5, 0.25])
    parts = {"loss": LeastSquares(), "cycle": L1(10.0), "identity": L1(5.0), "optimizer_g": sgd, "optimizer_d": sgd}
    return CycleGAN(
        SPEC, lambda image: Scale(image, next(weights)), Means, **{**parts, "ema_half_life": 0.0, **options}
    )


def small_steps(parameters):
    return torch.optim.SGD(parameters, lr=0.01)


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def softplus(x):
    return math.log1p(math.exp(x))


def test_an_iteration_of_pix2pix_by_hand(tmp_path):
    """D(A, x) = u·A + v·x and G(A) = w·A: the discriminator steps first, then the generator against the new one."""
    model = pix2pix()
    watch = fit(model, tmp_path)
    a, b, w, u, v = 2.0, 3.0, 0.5, 0.4, 0.8
    real, fake = u * a + v * b, u * a + v * w * a
    assert watch.logged[0]["train/loss_d"] == pytest.approx(softplus(-real) + softplus(fake), rel=1e-5)
    u -= (-sigmoid(-real) + sigmoid(fake)) * a
    v -= -sigmoid(-real) * b + sigmoid(fake) * w * a
    assert model.discriminators[0].weights.tolist() == pytest.approx([u, v], rel=1e-5)
    fake = u * a + v * w * a
    assert watch.logged[0]["train/adversarial"] == pytest.approx(softplus(-fake), rel=1e-5)
    assert watch.logged[0]["train/reconstruction"] == pytest.approx(10 * abs(w * a - b), rel=1e-5)
    w -= -sigmoid(-fake) * v * a + 10 * -a
    assert model.generators[0].weight.item() == pytest.approx(w, rel=1e-5)
    assert float(model.averages[0].module.weight) == pytest.approx(w, rel=1e-5)


def test_an_unconditional_discriminator_sees_the_picture_alone(tmp_path):
    """D(x) = u·x and G(A) = w·A, which the reconstruction alone ties to B."""
    model = pix2pix(conditional=False)
    watch = fit(model, tmp_path)
    a, b, w, u = 2.0, 3.0, 0.5, 0.4
    assert watch.logged[0]["train/loss_d"] == pytest.approx(softplus(-u * b) + softplus(u * w * a), rel=1e-5)
    u -= -sigmoid(-u * b) * b + sigmoid(u * w * a) * w * a
    assert model.discriminators[0].weights.tolist() == pytest.approx([u], rel=1e-5)
    assert watch.logged[0]["train/adversarial"] == pytest.approx(softplus(-u * w * a), rel=1e-5)
    assert watch.logged[0]["train/reconstruction"] == pytest.approx(10 * abs(w * a - b), rel=1e-5)
    w -= -sigmoid(-u * w * a) * u * a + 10 * -a
    assert model.generators[0].weight.item() == pytest.approx(w, rel=1e-5)


def test_an_iteration_of_cyclegan_by_hand(tmp_path):
    """G(A) = g·A, F(B) = f·B; the generators step first, then the discriminators D_B = d·x and D_A = e·x."""
    model = cyclegan()
    watch = fit(model, tmp_path)
    a, b, g, f, d, e = 2.0, 3.0, 0.5, 0.25, 0.4, 0.4
    terms = {
        "adversarial_b": 0.5 * (d * g * a - 1) ** 2,
        "adversarial_a": 0.5 * (e * f * b - 1) ** 2,
        "cycle_a": 10 * abs(f * g * a - a),
        "cycle_b": 10 * abs(g * f * b - b),
        "identity_a": 5 * abs(f * a - a),
        "identity_b": 5 * abs(g * b - b),
    }
    logged = watch.logged[0]
    assert {name: logged[f"train/{name}"] for name in terms} == pytest.approx(terms, rel=1e-5)
    assert logged["train/loss_g"] == pytest.approx(sum(terms.values()), rel=1e-5)
    # All four differences are negative: every L1 falls as its product grows.
    by_g = (d * g * a - 1) * d * a - 10 * f * a - 10 * f * b - 5 * b
    by_f = (e * f * b - 1) * e * b - 10 * g * a - 10 * g * b - 5 * a
    assert [float(part.weight) for part in model.generators] == pytest.approx([g - by_g, f - by_f], rel=1e-5)
    # d · b and e · a lie above the boundary of ½, d · g · a and e · f · b below.
    assert (logged["train/sign_accuracy_b"], logged["train/sign_accuracy_a"]) == (1, 1)
    # The discriminators see what the generators made before their step.
    assert logged["train/loss_d_b"] == pytest.approx(0.5 * (d * b - 1) ** 2 + 0.5 * (d * g * a) ** 2, rel=1e-5)
    assert logged["train/loss_d_a"] == pytest.approx(0.5 * (e * a - 1) ** 2 + 0.5 * (e * f * b) ** 2, rel=1e-5)
    by_d, by_e = (d * b - 1) * b + d * (g * a) ** 2, (e * a - 1) * a + e * (f * b) ** 2
    assert [float(part.weights[0]) for part in model.discriminators] == pytest.approx([d - by_d, e - by_e], rel=1e-5)


def test_discriminators_are_shown_earlier_images(tmp_path):
    weights = {}
    for buffer in (0, 1):
        for steps in (1, 4):
            model = cyclegan(buffer=buffer, optimizer_g=small_steps, optimizer_d=small_steps)
            fit(model, tmp_path, steps=steps)
            weights[buffer, steps] = [float(part.weights[0]) for part in model.discriminators]
    assert weights[0, 1] == weights[1, 1]
    assert weights[0, 4] != weights[1, 4]


@pytest.mark.parametrize("build", [pix2pix, cyclegan])
def test_an_iteration_counts_once(build, tmp_path):
    model = build()
    assert fit(model, tmp_path, steps=3).steps == [1, 2, 3]
    assert model.images_seen == 3


def test_a_penalty_takes_the_gradient_of_the_picture_and_not_of_the_source(tmp_path):
    watch = fit(pix2pix(penalties=[R1(weight=2.0)]), tmp_path)
    # ∂D/∂x is v / 4 at each of four pixels.
    assert watch.logged[0]["train/penalty_r1"] == pytest.approx(4 * (0.8 / 4) ** 2, rel=1e-5)


@pytest.mark.parametrize("build", [pix2pix, cyclegan])
def test_a_penalty_of_every_second_iteration_begins_with_the_first(tmp_path, build):
    watch = fit(build(penalties=[R1(weight=2.0, every=2)]), tmp_path, steps=3)
    first, second, third = (
        [value for name, value in logged.items() if "penalty_r1" in name] for logged in watch.logged
    )  # the trainer keeps the last logged values
    assert first
    assert first == second != third


def test_a_loss_of_pairs_gets_the_real_logits(tmp_path):
    watch = fit(pix2pix(loss=RelativisticPaired(), optimizer_d=lambda p: torch.optim.SGD(p, lr=0.0)), tmp_path)
    assert watch.logged[0]["train/adversarial"] == pytest.approx(softplus(0.8 * 3.0 - 0.8 * 0.5 * 2.0), rel=1e-5)


def test_translations_are_those_of_the_average_in_each_direction(tmp_path):
    model, images = cyclegan(ema_half_life=Constant(1e9)), torch.ones(2, 1, 2, 2)
    fit(model, tmp_path, steps=2)
    assert torch.allclose(model.translate(images), 0.5 * images, atol=1e-4)
    assert torch.allclose(model.translate(images, "A"), 0.25 * images, atol=1e-4)
    assert torch.equal(model.translate(images, "B"), model(images))
    with pytest.raises(UserError, match="cannot translate to C: choose from B, A"):
        model.translate(images, "C")
    with pytest.raises(UserError, match="Pix2Pix cannot translate to A: choose from B"):
        pix2pix().translate(images, "A")


def test_the_way_back_is_scored_over_images_and_not_over_batches(tmp_path):
    # There and back, by 0.5 and 0.25, a picture of one value v comes off by (1 - 0.125) · v / 2.
    batches = [Batch(torch.zeros(1), None, source_images=torch.full((n, 1, 2, 2), v)) for n, v in ((3, 1.0), (1, 0.2))]
    trainer = quiet_trainer(Watch(), 1, tmp_path)
    for split, evaluate in (("val", trainer.validate), ("test", trainer.test)):
        (scores,) = evaluate(cyclegan(), DataLoader(batches, batch_size=None), verbose=False)
        assert scores.keys() == {f"{split}/cycle_l1", "images_seen"}
        assert scores[f"{split}/cycle_l1"] == pytest.approx(0.4375 * (3 * 1.0 + 0.2) / 4)


def test_what_holds_nothing_to_translate_is_refused(experiment, capsys, tmp_path):
    assert experiment("fit", *MODELS["pix2pix"], *SHORT, "--data.source=Digits") != 0
    assert "choose a source of pairs" in capsys.readouterr().err
    assert experiment("fit", *MODELS["pix2pix"], *SHORT, "--trainer.accumulate_grad_batches=2") != 0
    assert "set data.batch_size instead" in capsys.readouterr().err
    assert not list((tmp_path / "runs").rglob("*.ckpt"))


# 1,437 training digits in batches of 96 make 14 iterations an epoch; the buffers of 20 images are full from the start.
@pytest.mark.parametrize(("model", "stop"), [pytest.param("pix2pix", 3, marks=pytest.mark.long), ("cyclegan", 2)])
def test_a_resumed_run_ends_with_the_same_weights(experiment, tmp_path, model, stop):
    options = [*MODELS[model], *SHORT, "--data.batch_size=12", "--data.flip=true", "--trainer.val_check_interval=20"]
    assert experiment("fit", *options, "--run.name=whole", f"--trainer.max_steps={2 * stop}") == 0
    part = [*options, "--run.name=part"]
    assert experiment("fit", *part, f"--trainer.max_steps={stop}") == 0
    assert experiment("fit", *part, f"--trainer.max_steps={2 * stop}", "--ckpt_path=last") == 0
    folders = [tmp_path / "runs" / name / "version_0" for name in ("part", "whole")]
    resumed, unbroken = (checkpoint(folder / "checkpoints" / "last.ckpt") for folder in folders)
    assert resumed["global_step"] == unbroken["global_step"] == 2 * stop
    for key in ("state_dict", "optimizer_states", "images_seen"):
        assert equal(resumed[key], unbroken[key]), key
    if model == "pix2pix":
        assert resumed["state_dict"]["augment.strength.p"] > 0
    else:
        assert int(resumed["state_dict"]["buffers_of_sides.0.filled"]) == 20
    assert curve(folders[0]) == curve(folders[1])


@pytest.mark.long
@pytest.mark.parametrize("model", ["cyclegan", "pix2pix"])
def test_two_processes_train_as_one(model, tmp_path):
    # Dropout draws from the random state of its own process, as everywhere.
    options = [*MODELS[model], *(["--model.generator.dropout=false"] if model == "pix2pix" else [])]
    options += ["--data.damage=[{class_path: GaussianNoise}]"]
    (alone,) = train_processes(options, "alone", tmp_path, 1)
    assert_trained_as_one(alone, train_processes(options, "devices", tmp_path, 1))
