"""MUNIT: what an iteration does, by hand; styles; resumption and two processes."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from conftest import CONFIGS, SHORT
from gen_experiments import randomness
from gen_experiments.errors import UserError
from gen_experiments.images import Batch, ImageSpec
from gen_experiments.losses.adversarial import LeastSquares
from gen_experiments.losses.reconstruction import L1
from gen_experiments.models.munit import MUNIT
from gen_experiments.networks.base import Discriminator, StyledAutoencoder
from gen_experiments.randomness import Stream
from run_files import checkpoint, curve, equal
from small_models import quiet_trainer
from small_translators import SPEC, Means, Watch, fit
from test_devices import assert_trained_as_one, train

SMALL = (
    f"--config={CONFIGS / 'translation.yaml'}",
    f"--config={CONFIGS / 'experiments' / 'translation' / 'munit.yaml'}",
    "--model.autoencoder.width=4",
    "--model.autoencoder.residual_blocks=1",
    "--model.autoencoder.mlp_width=8",
    "--model.discriminator.width=4",
    "--model.discriminator.layers=1",
)
WEIGHTS = {"B": (0.5, 0.3, 0.7, 0.2), "A": (0.6, -0.4, 0.8, 0.1)}  # p, q, w, v of each side


class Linear(StyledAutoencoder):
    """content(x) = p · x, style(x) = q · mean(x) and decode(c, s) = w · c + v · s."""

    style_dim = 1

    def __init__(self, weights):
        super().__init__()
        self.weights = nn.Parameter(torch.tensor(weights))

    def content(self, images):
        return self.weights[0] * images

    def style(self, images):
        return self.weights[1] * images.mean((1, 2, 3))[:, None]

    def decode(self, contents, styles):
        return self.weights[2] * contents + self.weights[3] * styles[:, :, None, None]


class Corner(Discriminator):
    """The first pixel by a weight."""

    def __init__(self, image):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(0.5))

    def forward(self, images, labels=None):
        return self.weight * images[:, 0, 0, 0]


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.1)


def munit(image=SPEC, **options):
    sides = iter(WEIGHTS.values())
    parts = {"discriminator": Means, "loss": LeastSquares(), "reconstruction": L1(10.0), "ema_half_life": 0.0}
    parts |= {"optimizer_g": sgd, "optimizer_d": sgd}
    return MUNIT(image, lambda _: Linear(next(sides)), **{**parts, **options})


def drawn(dim=1):
    """The styles of B and of A that the first iteration draws."""
    source = randomness.generator("cpu", 0, Stream.NOISE, 0)
    return [torch.randn(1, dim, generator=source) for _ in "BA"]


@pytest.mark.parametrize(("weights", "cycle"), [({}, None), ({"style": 2.0, "content": 3.0}, L1(4.0))])
def test_an_iteration_by_hand(tmp_path, weights, cycle):
    """With one value for all pixels everything is a number: the discriminators D_B = d·x and D_A = e·x step first."""
    model = munit(cycle=cycle, **weights)
    style, content = weights.get("style", 1), weights.get("content", 1)
    watch = fit(model, tmp_path)
    a, b, d, e = 2.0, 3.0, 0.4, 0.4
    of_b, of_a = (torch.tensor(WEIGHTS[side], requires_grad=True) for side in "BA")
    (s_b, s_a), logged = (each.item() for each in drawn()), watch.logged[0]

    def decoded(side, of_content, of_style):
        return side[2] * of_content + side[3] * of_style

    into_b, into_a = decoded(of_b, of_a[0] * a, s_b), decoded(of_a, of_b[0] * b, s_a)
    made_b, made_a = into_b.item(), into_a.item()
    assert logged["train/loss_d_b"] == pytest.approx(0.5 * (d * b - 1) ** 2 + 0.5 * (d * made_b) ** 2, rel=1e-5)
    assert logged["train/loss_d_a"] == pytest.approx(0.5 * (e * a - 1) ** 2 + 0.5 * (e * made_a) ** 2, rel=1e-5)
    d -= 0.1 * ((d * b - 1) * b + d * made_b**2)
    e -= 0.1 * ((e * a - 1) * a + e * made_a**2)
    assert [part.weights[0].item() for part in model.discriminators] == pytest.approx([d, e], rel=1e-5)
    terms = {
        "adversarial_b": 0.5 * (d * into_b - 1) ** 2,
        "adversarial_a": 0.5 * (e * into_a - 1) ** 2,
        "reconstruction_b": 10 * abs(decoded(of_b, of_b[0] * b, of_b[1] * b) - b),
        "reconstruction_a": 10 * abs(decoded(of_a, of_a[0] * a, of_a[1] * a) - a),
        "style_b": style * abs(of_b[1] * into_b - s_b),
        "style_a": style * abs(of_a[1] * into_a - s_a),
        "content_a": content * abs(of_b[0] * into_b - of_a[0] * a),
        "content_b": content * abs(of_a[0] * into_a - of_b[0] * b),
    }
    if cycle is not None:
        terms["cycle_a"] = 4 * abs(decoded(of_a, of_b[0] * into_b, of_a[1] * a) - a)
        terms["cycle_b"] = 4 * abs(decoded(of_b, of_a[0] * into_a, of_b[1] * b) - b)
    expected = {name: term.item() for name, term in terms.items()}
    assert {name: logged[f"train/{name}"] for name in terms} == pytest.approx(expected, rel=1e-5)
    assert logged["train/loss_g"] == pytest.approx(sum(expected.values()), rel=1e-5)
    assert ("train/cycle_a" in logged) == (cycle is not None)
    sum(terms.values()).backward()
    for network, side in zip(model.generators, (of_b, of_a), strict=True):
        torch.testing.assert_close(network.weights, side - 0.1 * side.grad, rtol=1e-5, atol=1e-6)
    assert watch.steps == [1]


def test_discriminators_look_at_several_scales(tmp_path):
    """A corner of half the resolution is the mean of the four pixels that are there; of an odd size as well."""
    still = {f"optimizer_{which}": lambda parameters: torch.optim.SGD(parameters, lr=0.0) for which in "gd"}
    model = munit(ImageSpec(channels=1, size=5), discriminator=Corner, scales=4, **still)
    a, b = torch.arange(50.0).div(50).view(2, 1, 1, 5, 5)
    watch = Watch()
    trainer = quiet_trainer(watch, 1, tmp_path, log_every_n_steps=1)
    trainer.fit(model, DataLoader([Batch(b, None, source_images=a)], batch_size=None))
    (p, _, w, v), corner = WEIGHTS["B"], slice(0, 2)
    made = w * WEIGHTS["A"][0] * a + v * drawn()[0]
    for name, real, fake in (
        ("_b", b[0, 0, 0, 0], made[0, 0, 0, 0]),
        ("_b2", b[0, 0, corner, corner].mean(), made[0, 0, corner, corner].mean()),
    ):
        expected = 0.5 * (0.5 * real - 1) ** 2 + 0.5 * (0.5 * fake) ** 2
        assert watch.logged[0][f"train/loss_d{name}"] == pytest.approx(expected.item(), rel=1e-5)
        assert watch.logged[0][f"train/adversarial{name}"] == pytest.approx(
            (0.5 * (0.5 * fake - 1) ** 2).item(), rel=1e-5
        )
    losses = {name for name in watch.logged[0] if name.startswith("train/loss_d_")}
    assert losses == {f"train/loss_d_{side}{scale}" for side in "ab" for scale in ("", 2, 4, 8)}
    assert p == WEIGHTS["B"][0]


def test_a_translation_has_the_content_of_one_side_and_the_style_of_the_other():
    model, a, b = munit(), torch.full((2, 1, 2, 2), 2.0), torch.tensor([3.0, -1.0]).view(2, 1, 1, 1).expand(2, 1, 2, 2)
    (p_b, q_b, w_b, v_b), (p_a, q_a, w_a, v_a) = WEIGHTS["B"], WEIGHTS["A"]
    styles = model.styles_of(b)
    assert styles.flatten().tolist() == pytest.approx([q_b * 3, -q_b])
    found = model.translate(a, styles=styles)[:, 0, 0, 0].tolist()
    assert found == pytest.approx([w_b * p_a * 2 + v_b * q_b * 3, w_b * p_a * 2 - v_b * q_b])
    # One style for all, and the other direction.
    back = model.translate(b, "A", model.styles_of(a[:1], "A"))[:, 0, 0, 0].tolist()
    assert back == pytest.approx([w_a * p_b * 3 + v_a * q_a * 2, -w_a * p_b + v_a * q_a * 2])
    # Without one the first that is drawn.
    first = model.drawn_styles(torch.zeros(1, dtype=torch.int64))
    assert first.abs().item() > 0.1
    assert torch.equal(model.translate(a), model.translate(a, "B", first))
    for refused in (
        lambda: model.translate(a, "C"),
        lambda: model.styles_of(a, "C"),
        lambda: model.drawn_styles(torch.arange(2), to="C"),
    ):
        with pytest.raises(UserError, match="cannot translate to C: choose from B, A"):
            refused()


def test_styles_are_drawn_by_their_number_and_seed_from_a_standard_normal():
    model = munit()
    many = model.drawn_styles(torch.arange(2000), seed=3)
    assert torch.equal(many[[5, 1999]], model.drawn_styles(torch.tensor([5, 1999]), 3))
    assert not torch.isclose(many, model.drawn_styles(torch.arange(2000))).any()
    assert many.shape == (2000, 1)
    assert abs(many.mean().item()) < 0.1
    assert many.std().item() == pytest.approx(1, abs=0.06)


def test_what_comes_back_is_validated_in_its_own_style(tmp_path):
    """The cycle's error of one source of the value 2, whose partner is not looked at."""
    model, batch = munit(), Batch(torch.full((1, 1, 2, 2), 9.0), None, source_images=torch.full((1, 1, 2, 2), 2.0))
    trainer = quiet_trainer(Watch(), 1, tmp_path)
    (found,) = trainer.validate(model, DataLoader([batch], batch_size=None), verbose=False)
    (p_b, _, w_b, v_b), (p_a, q_a, w_a, v_a) = WEIGHTS["B"], WEIGHTS["A"]
    drawn = model.drawn_styles(torch.zeros(1, dtype=torch.int64)).item()
    back = w_a * p_b * (w_b * p_a * 2 + v_b * drawn) + v_a * q_a * 2
    assert found["val/cycle_l1"] == pytest.approx(abs(back - 2) / 2, rel=1e-5)


def test_a_resumed_run_ends_with_the_same_weights(experiment, tmp_path):
    options = [*SMALL, *SHORT, "--data.batch_size=2", "--model.scales=1", "--trainer.val_check_interval=20"]
    options += ["--model.lr_schedule.images=100", "--evaluation.extractor=null"]
    assert experiment("fit", *options, "--run.name=whole", "--trainer.max_steps=4") == 0
    assert experiment("fit", *options, "--run.name=part", "--trainer.max_steps=2") == 0
    assert experiment("fit", *options, "--run.name=part", "--trainer.max_steps=4", "--ckpt_path=last") == 0
    folders = [tmp_path / "runs" / name / "version_0" for name in ("part", "whole")]
    resumed, unbroken = (checkpoint(folder / "checkpoints" / "last.ckpt") for folder in folders)
    for key in ("state_dict", "optimizer_states", "images_seen", "global_step"):
        assert equal(resumed[key], unbroken[key]), key
    assert curve(folders[0]) == curve(folders[1])


@pytest.mark.long
def test_it_trains_in_half_precision(experiment, tmp_path):
    options = [*SMALL, *SHORT, "--data.batch_size=2", "--model.scales=2", "--trainer.precision=bf16-true"]
    assert experiment("fit", *options) == 0
    state = checkpoint(tmp_path / "runs" / "munit" / "version_0" / "checkpoints" / "last.ckpt")["state_dict"]
    kinds = {name.split(".")[0]: value.dtype for name, value in state.items() if value.is_floating_point()}
    assert (kinds["generators"], kinds["averages"]) == (torch.bfloat16, torch.float32)


@pytest.mark.long
def test_two_processes_train_as_one(tmp_path):
    options = [*SMALL, "--model.scales=2"]
    (alone,) = train(options, "alone", tmp_path, 1)
    assert_trained_as_one(alone, train(options, "devices", tmp_path, 1))


@pytest.mark.parametrize(
    ("options", "said"),
    [({"style": -1.0}, "style must be"), ({"content": -1.0}, "content must be"), ({"scales": 0}, "scales must be")],
)
def test_impossible_models_are_refused(options, said):
    with pytest.raises(UserError, match=said):
        munit(**options)
