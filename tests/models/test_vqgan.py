"""A VQ-VAE with an adversary."""

import pytest
import torch
from torch import nn

from conftest import CONFIGS, SHORT, SMALL
from gen_experiments.errors import UserError
from gen_experiments.losses.adversarial import LeastSquares, RelativisticPaired
from gen_experiments.losses.base import Penalty
from gen_experiments.models.adversary import Adversary, adaptive_weight
from gen_experiments.networks.discriminators import PlainDiscriminator
from gen_experiments.networks.patch import PatchDiscriminator
from run_files import checkpoint, equal, last
from small_models import Logged, fit, vqvae
from test_devices import assert_trained_as_one, train

VQGAN = (
    *SMALL["vqvae"],
    f"--config={CONFIGS / 'experiments' / 'vqvae' / 'vqgan_mnist.yaml'}",
    *SMALL["vqvae"][1:],
    "--model.adversary.discriminator.width=4",
    "--run.name=vqgan",
)


def adversary(**options):
    return Adversary(PatchDiscriminator, lambda parameters: torch.optim.Adam(parameters), **options)


def test_the_adaptive_weight_by_hand():
    layer = nn.Linear(1, 1, bias=False)
    nn.init.constant_(layer.weight, 2.0)
    output = layer(torch.tensor([[3.0]]))  # 6
    reconstruction, adversarial = (output - 1).square().sum(), -0.5 * output.sum()
    # d/dw (3w − 1)² = 6 (3w − 1) = 30 and d/dw (−1.5 w) = −1.5.
    weight = adaptive_weight(reconstruction, adversarial, output, layer.weight)
    assert float(weight) == pytest.approx(20.0)
    assert not weight.requires_grad
    assert float(adaptive_weight(reconstruction, 0 * adversarial, output, layer.weight)) == 1e4


def test_the_adaptive_weight_does_not_vanish_in_float16():
    """Each pixel of a good reconstruction has a gradient near the smallest number of float16, 6e-8."""
    torch.manual_seed(0)
    decoder, discriminator = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 1, 4, stride=2)
    latents, found = torch.randn(8, 3, 256, 256), []
    target = decoder(latents).detach() + 0.002 * latents
    for half in (False, True):
        with torch.autocast("cpu", torch.float16, enabled=half):
            images = decoder(latents).float()
            adversarial = -discriminator(images).float().mean()
        found.append(float(adaptive_weight((images - target).square().mean(), adversarial, images, decoder.weight)))
    assert found[1] == pytest.approx(found[0], rel=0.05)


def test_the_weight_starts_and_rises():
    part = adversary(weight=0.8, start=100, ramp=50)
    assert [part.strength(images) for images in (0, 99, 100, 125, 150, 1000)] == pytest.approx([0, 0, 0, 0.4, 0.8, 0.8])
    assert adversary(weight=0.5, start=10).strength(10) == 0.5


@pytest.mark.parametrize("options", [{"weight": -1.0}, {"start": -1}, {"loss": RelativisticPaired()}])
def test_impossible_adversaries_are_refused(options):
    with pytest.raises(UserError):
        adversary(**options)


class Counting(Penalty):
    """A penalty of 3 without gradient that counts how often it is computed."""

    calls = 0

    def forward(self, discriminator, real, fake, rng):
        self.calls += 1
        return 3 + 0 * discriminator(real).sum()


def test_what_is_logged_and_how_often_a_penalty_is_due(tmp_path):
    def discriminator(image):
        network = PlainDiscriminator(image, hidden=8)
        with torch.no_grad():
            for weight in network.parameters():
                weight.zero_()
            weight.fill_(0.75)  # the last one is the logit's bias
        return network

    penalty, watch = Counting(every=2), Logged()
    still = {"optimizer": lambda parameters: torch.optim.SGD(parameters, lr=0.0), "loss": LeastSquares()}
    part = Adversary(discriminator, **still, adaptive=False, ramp=8, penalties=[penalty])
    fit(vqvae(adversary=part), watch, 4, tmp_path, log_every_n_steps=1)
    assert penalty.calls == 2
    assert watch.logged[0]["train/penalty_counting"] == 1.5
    weights = [logged["train/adversarial_weight"] for logged in watch.logged[1:]]
    assert weights == pytest.approx([0.4, 0.8, 0.8])
    for logged in watch.logged[1:]:
        assert logged["train/adversarial"] == pytest.approx(0.5 * 0.25**2)
        assert logged["train/sign_accuracy"] == 0.5  # of the real ones, which lie above the boundary of ½ too


def test_the_adaptive_weight_of_gradients_that_vanish_by_hand():
    layer = nn.Linear(1, 1, bias=False)
    nn.init.constant_(layer.weight, 2.0)
    output = layer(torch.tensor([[1.0]]))
    # 3e-4 / (2e-6 + 1e-6)
    found = adaptive_weight(3e-4 * output.sum(), 2e-6 * output.sum(), output, layer.weight)
    assert float(found) == pytest.approx(100, rel=1e-4)


def test_before_its_start_the_adversary_does_nothing(experiment, tmp_path):
    short = [*SHORT, "--trainer.max_steps=3", "--trainer.val_check_interval=3"]
    assert experiment("fit", *VQGAN, *short, "--model.adversary.start=1000000") == 0
    assert experiment("fit", *VQGAN, *short, "--model.adversary=null", "--run.name=plain") == 0
    held, plain = (checkpoint(last(tmp_path, name)) for name in ("vqgan", "plain"))
    assert held["global_step"] == plain["global_step"] == 3
    for name, value in plain["state_dict"].items():
        torch.testing.assert_close(held["state_dict"][name], value, msg=name)


def test_from_its_start_both_learn_and_an_iteration_counts_once(experiment, tmp_path):
    # 16 images an iteration: none and 16 were seen before the first two, 32 before the third, as in the authors' code,
    # where a start of two steps is compared with the steps made before this one.
    options = [*VQGAN, "--model.adversary.ramp=0", "--model.adversary.start=32"]
    options += ["--model.adversary.discriminator.spectral_norm=true"]
    steps = []
    for count in (2, 3):
        chosen = [f"--trainer.max_steps={count}", f"--trainer.val_check_interval={count}"]
        assert experiment("fit", *options, *SHORT, *chosen) == 0
        steps.append(checkpoint(last(tmp_path, "vqgan", count - 2)))
    before, after = (step["state_dict"] for step in steps)
    assert steps[1]["global_step"] == 3
    assert not steps[0]["optimizer_states"][1]["state"]
    for part in ("discriminator", "decoder", "encoder"):
        assert any(not torch.equal(before[name], after[name]) for name in before if name.startswith(part)), part
    vectors = [name for name in before if name.startswith("discriminator") and name.endswith("._u")]
    # They move in training mode alone.
    assert any(not torch.equal(before[name], after[name]) for name in vectors)
    discriminator_steps = steps[1]["optimizer_states"][1]["state"][0]["step"]
    assert int(discriminator_steps) == 1


def test_a_resumed_run_ends_with_the_same_weights(experiment, tmp_path):
    options = [*VQGAN, *SHORT, "--data.batch_size=96", "--model.adversary.start=0", "--trainer.val_check_interval=3"]
    assert experiment("fit", *options, "--run.name=whole", "--trainer.max_steps=6") == 0
    assert experiment("fit", *options, "--trainer.max_steps=3") == 0
    assert experiment("fit", *options, "--trainer.max_steps=6", "--ckpt_path=last") == 0
    unbroken, resumed = (checkpoint(last(tmp_path, name)) for name in ("whole", "vqgan"))
    for key in ("state_dict", "optimizer_states", "images_seen"):
        assert equal(resumed[key], unbroken[key]), key


@pytest.mark.long
def test_two_processes_train_as_one(tmp_path):
    options = [*VQGAN, "--model.adversary.start=0", "--model.adversary.ramp=0"]
    (alone,) = train(options, "alone", tmp_path, 1)
    assert_trained_as_one(alone, train(options, "devices", tmp_path, 1))


def test_a_start_beyond_the_end_is_warned_about(experiment, recwarn):
    # Before the second and last batch 16 images were seen.
    for start, warned in ((17, True), (16, False)):
        recwarn.clear()
        short = [*SHORT, "--trainer.max_steps=2", f"--model.adversary.start={start}"]
        assert experiment("fit", *VQGAN, *short) == 0
        assert any("the discriminator is never trained" in str(each.message) for each in recwarn) == warned
