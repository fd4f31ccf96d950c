import pytest
import torch

from gen_experiments import randomness
from gen_experiments.errors import UserError
from gen_experiments.images import to_float
from gen_experiments.losses.adversarial import Hinge, LeastSquares, RelativisticPaired
from gen_experiments.losses.penalties import R1, R2, squared_gradient_norms
from gen_experiments.models.strength import AdaptiveStrength
from gen_experiments.networks.augment import Augmentation, DiffAugment
from gen_experiments.schedules import Linear
from small_models import IMAGES, changed, gan, train

FIRST = to_float(IMAGES[:4])


def states(history):
    return history.generator[-1], history.discriminator[-1]


class Doubling(Augmentation):
    """Twice the images."""

    num_draws = 1

    def __call__(self, images, p, drawn):
        return 2 * images


@pytest.mark.parametrize("loss", [{}, {"loss": RelativisticPaired()}])
def test_at_zero_a_run_is_bit_for_bit_the_run_without(tmp_path, loss):
    def run(**options):
        return states(train(gan(penalties=[R1(every=2), R2()], **loss, **options), 4, tmp_path)[1])

    plain, none = run(), run(augmentation=DiffAugment(), augmentation_strength=0.0)
    full = run(augmentation=DiffAugment(), augmentation_strength=1.0)
    assert not any(map(changed, plain, none))
    assert all(map(changed, plain, full))


def test_both_networks_learn_through_the_augmentation(tmp_path):
    _, history = train(gan(augmentation=Doubling()), 1, tmp_path, log_every_n_steps=1)
    model = gan()
    expected = model.discriminator(2 * FIRST).mean().item()
    assert history.logged[0]["train/logit_real"] == pytest.approx(expected, rel=1e-5)
    _, plain = train(gan(), 1, tmp_path)
    assert changed(history.generator[0], plain.generator[0])


@pytest.mark.parametrize("loss", [{}, {"loss": RelativisticPaired()}])
def test_real_and_generated_images_of_both_steps_are_augmented_by_numbers_of_their_own(tmp_path, loss):
    class Seen(Augmentation):
        num_draws = 3

        def __call__(self, images, p, drawn):
            seen.append(drawn)
            return images

    seen = []
    train(gan(augmentation=Seen(), **loss), 2, tmp_path)
    for iteration in range(2):
        rng = randomness.generator("cpu", randomness.run_seed(), randomness.Stream.AUGMENTATION, iteration)
        drawn = torch.rand(4, 4, 3, generator=rng).unbind(1)  # by rows, of which an image has the same in any batch
        # The generator's loss needs real images only if it compares pairs.
        expected = drawn if loss else (*drawn[:2], drawn[3])
        assert torch.equal(torch.stack(seen[: len(expected)]), torch.stack(expected))
        del seen[: len(expected)]
    assert seen == []


def test_a_penalty_is_on_the_gradient_at_images_before_augmentation(tmp_path):
    model = gan(augmentation=Doubling(), penalties=[R1(weight=3.0, every=2)])
    norms = squared_gradient_norms(lambda x: model.discriminator(2 * x), FIRST)
    _, history = train(model, 1, tmp_path, log_every_n_steps=1)
    assert history.logged[0]["train/penalty_r1"] == pytest.approx(1.5 * norms.mean().item(), rel=1e-5)


def test_strength_follows_its_schedule(tmp_path):
    model = gan(augmentation=DiffAugment(), augmentation_strength=Linear(0.0, 1.0, images=16))
    _, history = train(model, 5, tmp_path, log_every_n_steps=1)
    assert [logged["train/augmentation_p"] for logged in history.logged] == pytest.approx([0, 0.25, 0.5, 0.75, 1])


@pytest.mark.parametrize(("logit", "strength"), [(0.25, 0.0), (0.75, 0.04)])
def test_adaptation_counts_logits_beyond_the_boundary_of_the_loss(tmp_path, logit, strength):
    """Under least squares an image is judged real above ½."""
    adaptive = AdaptiveStrength(target=0.0, images=100, every=1)
    model = gan(loss=LeastSquares(), augmentation=DiffAugment(), augmentation_strength=adaptive)
    with torch.no_grad():
        for weight in model.discriminator.parameters():
            weight.zero_()
        weight.fill_(logit)  # the last one is the logit's bias
    train(model, 1, tmp_path)
    assert model.augment.strength.p.item() == pytest.approx(strength)


def test_an_iteration_has_the_strength_that_it_has_in_the_authors_code(tmp_path):
    """There an iteration ends by counting itself and, where its number is a multiple of the interval, moving p.

    With 4 images an iteration and a discriminator that is always too sure the first four have p = 0, and each four
    more have 16 of 100 images more.
    """
    model = gan(augmentation=DiffAugment(), augmentation_strength=AdaptiveStrength(images=100, every=4), loss=Hinge())
    with torch.no_grad():
        for weight in model.discriminator.parameters():
            weight.zero_()
        weight.fill_(100.0)
    _, history = train(model, 9, tmp_path, log_every_n_steps=1)
    expected = [0.0] * 4 + [0.16] * 4 + [0.32]
    assert [logged["train/augmentation_p"] for logged in history.logged] == pytest.approx(expected)


def test_a_resumed_run_adapts_on_bit_for_bit(tmp_path):
    def model():
        return gan(
            augmentation=DiffAugment(),
            augmentation_strength=AdaptiveStrength(target=0.0, images=100, every=4),
            ema_half_life=Linear(0.0, 100.0, images=100),
            beta2_schedule=Linear(0.9, 0.99, images=60),
        )

    # The same batch again and again: where in the data a run goes on is another's promise.
    images = IMAGES[:4].repeat(10, 1, 1, 1)
    whole, resumed = model(), model()
    train(whole, 20, tmp_path, images=images)
    trainer, _ = train(model(), 10, tmp_path, images=images)  # between two moves of p
    trainer.save_checkpoint(tmp_path / "half.ckpt")
    held = torch.load(tmp_path / "half.ckpt", weights_only=True)["state_dict"]["augment.strength.sums"]
    assert held[1] == 8
    train(resumed, 20, tmp_path, ckpt_path=tmp_path / "half.ckpt", images=images)
    assert whole.augment.strength.p > 0
    assert not changed(whole.state_dict(), resumed.state_dict())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"augmentation_strength": 1.5}, "must be in \\[0, 1\\]"),
        ({"augmentation_strength": AdaptiveStrength(), "loss": RelativisticPaired()}, "RelativisticPaired"),
    ],
)
def test_impossible_strengths_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        gan(augmentation=DiffAugment(), **options)
