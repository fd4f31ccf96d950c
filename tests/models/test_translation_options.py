"""What all models that translate take from one base: augmentation of what discriminators see, and compilation."""

from typing import ClassVar

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from gen_experiments import randomness
from gen_experiments.errors import UserError
from gen_experiments.images import Batch, ImageSpec
from gen_experiments.losses.adversarial import LeastSquares, RelativisticPaired
from gen_experiments.losses.lecam import LeCam
from gen_experiments.losses.penalties import R1
from gen_experiments.losses.reconstruction import L1
from gen_experiments.models.cut import CUT
from gen_experiments.models.cyclegan import CycleGAN
from gen_experiments.models.munit import MUNIT
from gen_experiments.models.pix2pix import Pix2Pix
from gen_experiments.models.strength import AdaptiveStrength
from gen_experiments.networks.augment import DiffAugment
from gen_experiments.networks.base import Discriminator
from gen_experiments.networks.munit import MUNITAutoencoder
from gen_experiments.networks.resnet_translator import ResNetTranslator
from gen_experiments.randomness import Stream
from gen_experiments.schedules import Linear
from small_models import changed, quiet_trainer
from small_translators import SPEC, Means, Scale, Watch, fit

SPEC_8 = ImageSpec(channels=1, size=8)
COLOUR = {"translation": 0.0, "cutout": 0.0}


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.01)


def still(parameters):
    return torch.optim.SGD(parameters, lr=0.0)


def shared(**options):
    return {"loss": LeastSquares(), "optimizer_g": sgd, "optimizer_d": sgd, "ema_half_life": 0.0, **options}


def pix2pix(spec=SPEC, discriminator=Means, **options):
    return Pix2Pix(spec, Scale, discriminator, reconstruction=L1(10.0), **shared(**options))


def cyclegan(discriminator=Means, buffer=0, **options):
    return CycleGAN(SPEC, Scale, discriminator, cycle=L1(10.0), buffer=buffer, **shared(**options))


def cut(discriminator=Means, **options):
    torch.manual_seed(0)
    parts = {"stages": (0, 1), "patches": 4, "width": 5}
    return CUT(SPEC_8, lambda image: ResNetTranslator(image, 4, 1), discriminator, **parts, **shared(**options))


def munit(discriminator=Means, **options):
    torch.manual_seed(0)
    return MUNIT(
        SPEC_8,
        lambda image: MUNITAutoencoder(image, 4, 1, 1, style_halvings=2, mlp_width=4),
        discriminator,
        reconstruction=L1(10.0),
        **shared(**options),
    )


ALL = [pix2pix, cyclegan, cut, munit]


def fit_pictures(model, tmp_path, steps, different=True, labels=None):
    """Trains on two random pictures a batch, whose sources are others or the very same, all with the same labels."""
    batches = []
    for number in range(steps):
        source = torch.Generator().manual_seed(number)
        images, others = (2 * torch.rand(2, *model.image.shape, generator=source) - 1 for _ in range(2))
        batches.append(Batch(images, labels, source_images=others if different else images))
    watch = Watch()
    quiet_trainer(watch, steps, tmp_path, log_every_n_steps=1).fit(model, DataLoader(batches, batch_size=None))
    return watch


@pytest.mark.parametrize("build", ALL)
def test_at_zero_a_run_is_bit_for_bit_the_run_without(build, tmp_path):
    def run(**options):
        model = build(**options)
        fit_pictures(model, tmp_path, 3)
        return [part.state_dict() for part in (model.generators, model.discriminators)]

    plain, none = run(), run(augmentation=DiffAugment(), augmentation_strength=0.0)
    full = run(augmentation=DiffAugment())
    assert not any(map(changed, plain, none))
    assert all(map(changed, plain, full))


def test_augmented_iterations_of_pix2pix_by_hand(tmp_path):
    """A picture of one value has another brightness, the same for source and target: D = u·(A + δ) + v·(x + δ)."""
    model = pix2pix(augmentation=DiffAugment(**COLOUR), loss=LeastSquares(), optimizer_d=still, optimizer_g=still)
    for iteration, logged in enumerate(fit(model, tmp_path, 2, a=0.5, b=-0.25).logged):
        source = randomness.generator("cpu", 0, Stream.AUGMENTATION, iteration)
        # Of each picture's ten numbers the fourth is the brightness: of the real and the made one in either step.
        shifts = (torch.rand(1, 4, 10, generator=source)[0, :, 3] - 0.5).tolist()
        a, b, w, u, v = 0.5, -0.25, 0.5, 0.4, 0.8
        real, made = (u * (a + shift) + v * (x + shift) for x, shift in zip((b, w * a), shifts[:2], strict=True))
        assert logged["train/loss_d"] == pytest.approx(0.5 * (real - 1) ** 2 + 0.5 * made**2, rel=1e-4)
        made = u * (a + shifts[3]) + v * (w * a + shifts[3])
        assert logged["train/adversarial"] == pytest.approx(0.5 * (made - 1) ** 2, rel=1e-4)
        assert logged["train/augmentation_p"] == 1.0


def test_what_rises_counts_images(tmp_path):
    """Batches of two pictures are a quarter of the eight over which it rises."""
    rising = {"augmentation_strength": Linear(0.0, 1.0, images=8), "ema_half_life": Linear(0.0, 16.0, images=8)}
    watch = fit_pictures(pix2pix(augmentation=DiffAugment(**COLOUR), **rising), tmp_path, 5)
    assert [logged["train/ema_half_life"] for logged in watch.logged] == pytest.approx([0, 4, 8, 12, 16])
    assert [logged["train/augmentation_p"] for logged in watch.logged] == pytest.approx([0, 0.25, 0.5, 0.75, 1])


class Apart(Discriminator):
    """How far the two pictures of a pair are apart, by a weight."""

    def __init__(self, image):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, images, labels=None):
        source, image = images.chunk(2, dim=1)
        return self.weight * (source - image).abs().mean((1, 2, 3))


def test_source_and_target_of_a_pair_move_alike(tmp_path):
    rgb = ImageSpec(channels=3, size=8)
    watches = [
        fit_pictures(pix2pix(rgb, Apart, optimizer_d=still, **options), tmp_path, 4, different=False)
        for options in ({"augmentation": DiffAugment()}, {})
    ]
    augmented, plain = ([logged["train/logit_real"] for logged in watch.logged] for watch in watches)
    assert augmented == plain == [0.0] * 4
    assert watches[0].logged[0]["train/logit_fake"] != watches[1].logged[0]["train/logit_fake"]


class Labelled(Means):
    """Keeps the labels that it is given."""

    given: ClassVar[list[torch.Tensor | None]] = []

    def forward(self, images, labels=None):
        self.given.append(labels)
        return super().forward(images)


@pytest.mark.parametrize("build", ALL)
def test_discriminators_see_the_labels_of_a_batch(build, tmp_path, monkeypatch):
    monkeypatch.setattr(Labelled, "given", given := [])
    labels = torch.tensor([3, 1])
    fit_pictures(build(discriminator=Labelled), tmp_path, 1, labels=labels)
    directions = 1 if build in (pix2pix, cut) else 2
    assert len(given) == 3 * directions  # real and made pictures, then made ones again
    assert all(torch.equal(each, labels) for each in given)


def test_a_buffer_returns_pictures_of_unknown_labels(tmp_path, monkeypatch):
    monkeypatch.setattr(Labelled, "given", given := [])
    fit_pictures(cyclegan(discriminator=Labelled, buffer=4), tmp_path, 1, labels=torch.tensor([3, 1]))
    assert given == [None] * 6


@pytest.mark.parametrize("build", [pix2pix, cyclegan])
def test_adaptation_counts_an_image_once_however_many_discriminators_there_are(build, tmp_path):
    """Least squares judges real above ½, which all discriminators do here; an iteration has one image of 100."""
    adaptive = AdaptiveStrength(target=0.0, images=100, every=2)
    model = build(augmentation=DiffAugment(**COLOUR), augmentation_strength=adaptive, optimizer_d=still)
    watch = fit(model, tmp_path, steps=5)
    assert [logged["train/augmentation_p"] for logged in watch.logged] == pytest.approx([0, 0, 0.02, 0.02, 0.04])


def test_adaptation_asks_all_discriminators(tmp_path):
    """One that takes nothing for real holds p down where the other takes everything."""
    adaptive = AdaptiveStrength(target=0.5, images=100, every=1)
    model = cyclegan(augmentation=DiffAugment(**COLOUR), augmentation_strength=adaptive, optimizer_d=still)
    fit(model, tmp_path)
    assert float(adaptive.p) == pytest.approx(0.01)
    with torch.no_grad():
        model.discriminators[1].weights.zero_()
    fit(model, tmp_path)
    assert float(adaptive.p) == 0.0


def test_each_discriminator_has_a_penalty_of_its_own(tmp_path):
    """LeCam keeps averages of the logits of one discriminator; of two together they would be of neither."""
    model = cyclegan(penalties=[R1(0.0), LeCam(decay=0.0)], optimizer_g=still, optimizer_d=still)
    fit(model, tmp_path)  # a = 2, b = 3; Means weighs them by 0.4, and Scale halves what it translates
    of_b, of_a = (penalty.averages for penalty in model.penalties if isinstance(penalty, LeCam))
    torch.testing.assert_close(of_b, torch.tensor([0.4 * 3.0, 0.4 * 1.0]))
    torch.testing.assert_close(of_a, torch.tensor([0.4 * 2.0, 0.4 * 1.5]))


def test_what_cannot_be_read_or_compiled_is_refused():
    for build in ALL:
        with pytest.raises(UserError, match="RelativisticPaired"):
            build(augmentation_strength=AdaptiveStrength(), loss=RelativisticPaired())
        with pytest.raises(UserError, match=r"R1 needs gradients .* model.compile_discriminator=false"):
            build(compile_discriminator=True, penalties=[LeCam(), R1()])
    pix2pix(compile_discriminator=True, penalties=[LeCam()])
    pix2pix(compile=True, penalties=[R1()])


@pytest.mark.parametrize("build", ALL)
def test_compiled_networks_have_the_same_weights_and_names(build, tmp_path):
    plain, compiled = build(), build(compile=True, compile_discriminator=True)
    fit_pictures(plain, tmp_path, 2)
    with torch.compiler.set_stance("force_eager"):
        fit_pictures(compiled, tmp_path, 2)
    assert plain.state_dict().keys() == compiled.state_dict().keys()
    assert not changed(plain.state_dict(), compiled.state_dict())


@pytest.mark.parametrize("build", ALL)
def test_what_is_compiled_is_what_training_calls(build, tmp_path):
    """An autoencoder's parts are called one by one, and it is never called itself."""
    called = set()
    model = build(compile=True)
    for generator in model.generators:
        for network in (generator, *generator.children()):
            network.register_forward_hook(lambda module, *_: called.add(module))
    with torch.compiler.set_stance("force_eager"):
        fit_pictures(model, tmp_path, 1)
    assert called
    for generator in model.generators:
        parts = [part for part in (generator, *generator.children()) if part._compiled_call_impl is not None]
        assert parts
        assert called.issuperset(parts)
    assert all(network._compiled_call_impl is None for network in [*model.discriminators, *model.averages])
