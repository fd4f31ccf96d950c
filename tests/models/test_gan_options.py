import copy
import math

import pytest
import torch
from torch.nn import functional as F

from gen_experiments.errors import UserError
from gen_experiments.images import ImageSpec
from gen_experiments.losses.adversarial import LeastSquares, NonSaturating, RelativisticPaired, Wasserstein
from gen_experiments.losses.lecam import LeCam
from gen_experiments.losses.penalties import DRAGAN, R1, R2, GradientPenalty
from gen_experiments.networks.augment import DiffAugment
from gen_experiments.networks.discriminators import DCGANDiscriminator, PlainDiscriminator
from gen_experiments.networks.generators import DCGANGenerator
from gen_experiments.schedules import Constant, Linear, Schedule
from gen_experiments.training.discriminator_loss import logit_statistics
from small_models import IMAGES, adam, changed, gan, sgd, train

SPEC_16 = ImageSpec(channels=1, size=16)


def still(parameters):
    return torch.optim.SGD(parameters, lr=0.0)


def squared_norm(weights):
    return sum(weight.square().sum().item() for weight in weights)


def test_statistics_of_logits_by_hand():
    real, fake = torch.tensor([2.0, 0.25, -1.0, 1.0]), torch.tensor([-2.0, 0.25, 0.5, -1.0])
    message = {name: value.item() for name, value in logit_statistics(real, fake, 0.0).items()}
    assert message == {"logit_real": 0.5625, "logit_fake": -0.5625, "logit_gap": 1.125, "sign_accuracy": 5 / 8}
    assert logit_statistics(real, fake, LeastSquares.boundary)["sign_accuracy"] == 5 / 8
    for pairs in (RelativisticPaired, Wasserstein):
        assert logit_statistics(real, fake, pairs.boundary)["sign_accuracy"] == 2 / 4


def test_what_is_logged_is_what_happened(tmp_path):
    model = gan(penalties=[R1(every=2)], optimizer_d=sgd, optimizer_g=adam, gradient_clip_norm=1e-4)
    start = [weight.detach().clone() for weight in model.discriminator.parameters()]
    _, history = train(model, 3, tmp_path, log_every_n_steps=3)
    assert history.logged[0] == history.logged[1] == {}
    logged = {name.removeprefix("train/"): value for name, value in history.logged[2].items()}
    assert logged["gradient_norm_d"] > 1e-3  # before clipping
    assert logged["weight_norm_d"] == pytest.approx(math.sqrt(squared_norm(start)), rel=1e-3)
    assert (logged["lr_d"], logged["lr_g"]) == pytest.approx((1.0, 1e-3))
    assert logged["images_seen"] == 12
    assert {"loss_d", "loss_g", "logit_gap", "sign_accuracy", "gradient_norm_g", "weight_norm_g"} < logged.keys()
    assert logged["penalty_r1"] > 0


def test_the_gradient_norm_is_that_of_the_step(tmp_path):
    model = gan(optimizer_d=sgd, optimizer_g=sgd)
    start = copy.deepcopy(model)
    _, history = train(model, 1, tmp_path, log_every_n_steps=1)
    for which, network, before in (
        ("d", model.discriminator, start.discriminator),
        ("g", model.generator, start.generator),
    ):
        moved = [new - old for new, old in zip(network.parameters(), before.parameters(), strict=True)]
        norm = pytest.approx(math.sqrt(squared_norm(moved)), rel=1e-4)
        assert history.logged[0][f"train/gradient_norm_{which}"] == norm


def test_beta2_and_half_life_follow_their_schedules(tmp_path):
    model = gan(beta2_schedule=Linear(0.9, 0.99, images=12), ema_half_life=Linear(0.0, 8.0, images=4))
    _, history = train(model, 4, tmp_path, log_every_n_steps=1)
    assert [betas[0][1] for betas in history.betas] == pytest.approx([0.9, 0.93, 0.96, 0.99])
    assert all(betas[0] == betas[1] for betas in history.betas)
    assert {betas[0][0] for betas in history.betas} == {0.9}  # Adam's own momentum
    assert [logged["train/beta2"] for logged in history.logged] == pytest.approx([0.9, 0.93, 0.96, 0.99])
    assert [logged["train/ema_half_life"] for logged in history.logged] == pytest.approx([0, 8, 8, 8])
    # The first update copies; the second, after 4 of 8 images, moves by 1 - 1/sqrt(2).
    one = gan(ema_half_life=Linear(0.0, 8.0, images=4))
    _, history = train(one, 2, tmp_path)
    first, second = (state["layers.0.weight"] for state in history.generator)
    expected = torch.lerp(first, second, 1 - 0.5**0.5)
    torch.testing.assert_close(one.ema.module.state_dict()["layers.0.weight"], expected)


def test_penalties_follow_their_schedule(tmp_path):
    def last(*penalties, **options):
        return train(gan(penalties=list(penalties), **options), 3, tmp_path)[1].discriminator[-1]

    assert not changed(last(), last(R1(), R2(), penalty_schedule=Constant(0.0)))
    assert not changed(last(R1(weight=2.0)), last(R1(weight=4.0), penalty_schedule=Constant(0.5)))


@pytest.mark.parametrize(
    ("loss", "penalties"), [(NonSaturating(), [R1(), R2()]), (RelativisticPaired(), [GradientPenalty(), DRAGAN()])]
)
def test_parts_of_a_batch_add_up_to_the_batch(tmp_path, loss, penalties):
    def run(accumulate):
        model = gan(
            accumulate=accumulate,
            loss=loss,
            optimizer_d=sgd,
            optimizer_g=sgd,
            penalties=penalties,
            augmentation=DiffAugment(),
            augmentation_strength=0.5,
        )
        return train(model, 3, tmp_path, log_every_n_steps=1)[1]

    whole, halves, quarters = run(1), run(2), run(4)
    for parts in (halves, quarters):
        for networks in ("generator", "discriminator"):
            expected, found = getattr(whole, networks)[-1], getattr(parts, networks)[-1]
            for name in expected:
                torch.testing.assert_close(found[name], expected[name], rtol=1e-4, atol=1e-6)
        of_penalties = [f"penalty_{type(penalty).__name__.lower()}" for penalty in penalties]
        for name in ("loss_d", "loss_g", *of_penalties, "logit_gap", "gradient_norm_d", "gradient_norm_g"):
            assert parts.logged[-1][f"train/{name}"] == pytest.approx(whole.logged[-1][f"train/{name}"], rel=1e-3)


def test_a_batch_that_cannot_be_cut_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"model\.accumulate=3 must divide the 4 images"):
        train(gan(accumulate=3), 1, tmp_path)


class Rising(Schedule):
    """A schedule of the user's own, of which only the first value is known beforehand."""

    def __call__(self, images):
        return 0.9 + images / 10


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"optimizer_g": sgd, "beta2_schedule": Constant(0.9)}, "SGD has no betas"),
        ({"beta2_schedule": Rising()}, r"beta2_schedule must be in \[0, 1\)"),
    ],
)
def test_beta2_needs_an_optimizer_and_a_schedule_that_have_it(tmp_path, options, said):
    with pytest.raises(UserError, match=said):
        train(gan(**options), 2, tmp_path)


def test_in_bf16_the_penalty_is_that_of_float32(tmp_path):
    def first(precision):
        model = gan(penalties=[R1()], augmentation=DiffAugment(), augmentation_strength=0.5)
        return train(model, 3, tmp_path, precision=precision, log_every_n_steps=1)[1].logged

    full, half = first("32-true"), first("bf16-mixed")
    assert half[0]["train/penalty_r1"] == full[0]["train/penalty_r1"]
    assert half[0]["train/loss_d"] != full[0]["train/loss_d"]
    assert all(math.isfinite(value) for logged in half for value in logged.values())


@pytest.mark.parametrize("option", ["compile", "compile_discriminator"])
def test_a_compiled_network_has_the_same_weights_and_names(tmp_path, option):
    with torch.compiler.set_stance("force_eager"):
        compiled = gan(**{option: True})
        train(compiled, 2, tmp_path)
    assert (compiled.discriminator._compiled_call_impl is None) == (option == "compile")
    assert (compiled.generator._compiled_call_impl is None) == (option != "compile")
    plain = gan()
    train(plain, 2, tmp_path)
    assert compiled.state_dict().keys() == plain.state_dict().keys()
    assert not changed(compiled.state_dict(), plain.state_dict())


@pytest.mark.parametrize("penalty", [R1, R2, GradientPenalty, DRAGAN])
def test_a_compiled_discriminator_and_a_penalty_on_its_gradients_exclude_each_other(penalty):
    with pytest.raises(UserError, match=f"{penalty.__name__} needs gradients .* model.compile_discriminator=false"):
        gan(compile_discriminator=True, penalties=[LeCam(), penalty()])
    gan(compile_discriminator=True, penalties=[LeCam()])
    gan(compile=True, penalties=[penalty()])


def test_channels_last_is_another_order_of_the_same_numbers(tmp_path):
    def run(channels_last):
        model = gan(
            generator=lambda image: DCGANGenerator(SPEC_16, latent_dim=4, width=4, batch_norm=False),
            discriminator=lambda image: DCGANDiscriminator(SPEC_16, width=4, batch_norm=False),
            channels_last=channels_last,
            penalties=[R1()],
        )
        train(model, 1, tmp_path, images=F.interpolate(IMAGES, size=16))
        return model

    last, first = run(True), run(False)
    weights = [weight for weight in last.parameters() if weight.ndim == 4]
    assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in weights)
    for name, expected in first.state_dict().items():
        torch.testing.assert_close(last.state_dict()[name], expected, rtol=1e-3, atol=1e-4)


def test_the_half_life_of_a_long_run_is_10_000_images_by_default(tmp_path):
    model = gan()
    model.images_seen = 1_000_000
    _, history = train(model, 1, tmp_path, log_every_n_steps=1)
    assert history.logged[0]["train/ema_half_life"] == 10_000


def test_the_norm_of_weights_is_of_those_that_are_trained(tmp_path):
    def partly_frozen(image):
        network = PlainDiscriminator(image, hidden=8)
        network.layers.requires_grad_(False)
        return network

    model = gan(discriminator=partly_frozen, optimizer_d=still)
    _, history = train(model, 1, tmp_path, log_every_n_steps=1)
    expected = math.sqrt(squared_norm(model.discriminator.head.parameters()))
    assert history.logged[0]["train/weight_norm_d"] == pytest.approx(expected, rel=1e-6)


def test_the_averaged_generator_of_a_short_run_is_a_trained_one(tmp_path):
    """A half-life far beyond the run warms up: the average follows within a twentieth of the images seen."""
    model = gan(ema_half_life=1e6)
    _, history = train(model, 10, tmp_path, log_every_n_steps=1)
    assert [logged["train/ema_half_life"] for logged in history.logged] == pytest.approx([0.2 * n for n in range(10)])
    last = history.generator[-1]["layers.0.weight"]
    start = history.generator[0]["layers.0.weight"]
    distance = (model.ema.module.state_dict()["layers.0.weight"] - last).norm()
    assert distance < 0.2 * (start - last).norm()
