import copy

import pytest
import torch

from gen_experiments.errors import UserError
from gen_experiments.images import Batch
from gen_experiments.losses.penalties import R1
from gen_experiments.schedules import Constant, Cosine
from small_models import changed, gan, sgd, train


def test_global_step_and_max_steps_count_iterations(tmp_path):
    model = gan()
    trainer, history = train(model, 7, tmp_path)
    assert history.steps == [1, 2, 3, 4, 5, 6, 7]
    assert trainer.global_step == 7
    assert model.images_seen == 28


def test_every_iteration_steps_both_networks(tmp_path):
    _, history = train(gan(), 3, tmp_path)
    for networks in (history.generator, history.discriminator):
        assert changed(networks[0], networks[1])
        assert changed(networks[1], networks[2])


def test_the_generator_steps_once_every_n_critic_iterations(tmp_path):
    _, history = train(gan(n_critic=3), 6, tmp_path)
    steps = [changed(a, b) for a, b in zip(history.generator, history.generator[1:], strict=False)]
    assert steps == [False, True, False, False, True]
    assert all(changed(a, b) for a, b in zip(history.discriminator, history.discriminator[1:], strict=False))
    assert history.steps[-1] == 6


def test_the_average_follows_with_the_images_of_all_critic_steps(tmp_path):
    model = gan(n_critic=2, ema_half_life=Constant(8.0))
    start = model.generator.state_dict()["layers.0.weight"].clone()
    train(model, 2, tmp_path)
    now = model.generator.state_dict()["layers.0.weight"]
    # One update after 2 batches of 4: exactly one half-life.
    torch.testing.assert_close(model.ema.module.state_dict()["layers.0.weight"], (start + now) / 2)


def test_a_lazy_penalty_acts_on_every_nth_iteration_only(tmp_path):
    _, without = train(gan(), 3, tmp_path)
    _, lazy = train(gan(penalties=[R1(weight=10.0, every=2)]), 3, tmp_path)
    assert changed(without.discriminator[0], lazy.discriminator[0])
    _, never = train(gan(penalties=[R1(weight=0.0, every=2)]), 3, tmp_path)
    assert not changed(without.discriminator[2], never.discriminator[2])


def test_samples_are_numbered_and_do_not_depend_on_the_batch(tmp_path):
    model = gan().eval()
    whole = model.sample(0, 6, seed=3)
    torch.testing.assert_close(torch.cat([model.sample(0, 2, seed=3), model.sample(2, 4, seed=3)]), whole)
    assert changed({"a": whole}, {"a": model.sample(0, 6, seed=4)})
    assert whole.shape == (6, 1, 8, 8)
    # Of images without numbers the third batch of two has the samples from the fifth on.
    predicted = model.predict_step(Batch(torch.zeros(2, 1, 8, 8), None), 2)
    torch.testing.assert_close(predicted, model.sample(0, 6)[4:])


def test_samples_come_from_the_average(tmp_path):
    model = gan(ema_half_life=Constant(1e9))
    before = model.sample(0, 2)
    train(model, 3, tmp_path)
    torch.testing.assert_close(model.sample(0, 2), before, atol=1e-5, rtol=0)


def test_the_learning_rate_is_a_function_of_images_seen(tmp_path):
    def two_rates(parameters):
        first, *others = parameters
        return torch.optim.Adam([{"params": first, "lr": 1e-2}, {"params": others}], lr=1e-3)

    options = {"lr_schedule": Cosine(1.0, 0.0, images=16), "optimizer_g": two_rates}
    _, history = train(gan(**options), 5, tmp_path, log_every_n_steps=1)
    assert history.rates[0] == [1e-3, 1e-2, 1e-3]
    assert history.rates[2] == pytest.approx([0.5e-3, 0.5e-2, 0.5e-3])
    assert history.rates[4] == pytest.approx([0.0, 0.0, 0.0])
    # The factor in the curves is the one that this very batch was trained with.
    factors = [logged["train/lr_factor"] for logged in history.logged]
    assert factors == pytest.approx([rates[0] / 1e-3 for rates in history.rates])


def test_clipping_bounds_the_step(tmp_path):
    model = gan(gradient_clip_norm=1e-3, optimizer_d=sgd, optimizer_g=sgd)
    start = copy.deepcopy(model)
    train(model, 1, tmp_path)
    for network, before in ((model.discriminator, start.discriminator), (model.generator, start.generator)):
        steps = [new - old for new, old in zip(network.parameters(), before.parameters(), strict=True)]
        assert float(sum(step.square().sum() for step in steps).sqrt()) == pytest.approx(1e-3, rel=1e-3)


@pytest.mark.parametrize("options", [{"n_critic": 0}, {"ema_half_life": -1.0}, {"accumulate": 0}])
def test_impossible_options_are_refused(options):
    with pytest.raises(UserError, match="must be"):
        gan(**options)
