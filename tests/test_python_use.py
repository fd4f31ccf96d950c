"""The package used from Python, without its command line."""

import functools
import subprocess
import sys

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from PIL import Image

import gen_experiments
from gen_experiments.data.datamodule import ImageDataModule
from gen_experiments.data.sources import Digits, ImageFolder
from gen_experiments.errors import UserError
from gen_experiments.images import ImageSpec, to_float
from gen_experiments.losses.adversarial import NonSaturating
from gen_experiments.losses.penalties import R1
from gen_experiments.losses.reconstruction import L1
from gen_experiments.models.adversary import Adversary
from gen_experiments.models.gan import GAN
from gen_experiments.models.prior import CodePrior
from gen_experiments.models.vqvae import VQVAE
from gen_experiments.networks.augment import DiffAugment
from gen_experiments.networks.autoencoder import ConvDecoder, ConvEncoder
from gen_experiments.networks.discriminators import DCGANDiscriminator
from gen_experiments.networks.generators import DCGANGenerator
from gen_experiments.networks.patch import PatchDiscriminator
from gen_experiments.priors.autoregressive import AutoregressivePrior
from gen_experiments.quantizers.ema import EMAQuantizer
from gen_experiments.quantizers.residual import ResidualQuantizer
from gen_experiments.schedules import Cosine

ADAM = functools.partial(torch.optim.Adam, lr=2e-4)


def digits():
    return ImageDataModule(Digits(), size=16, batch_size=8, val_size=16, test_size=16)


def gan(data):
    return GAN(
        data.image,
        functools.partial(DCGANGenerator, latent_dim=4, width=4),
        functools.partial(DCGANDiscriminator, width=4),
        NonSaturating(),
        functools.partial(torch.optim.Adam, lr=2e-4, betas=(0.5, 0.999)),
        ADAM,
        penalties=[R1(weight=0.1, every=2)],
        augmentation=DiffAugment(),
        augmentation_strength=Cosine(start=1.0, end=0.5, images=100),
    )


def vqvae(data, quantizer=None):
    return VQVAE(
        data.image,
        functools.partial(ConvEncoder, hidden=8, residual_hidden=4),
        decoder=functools.partial(ConvDecoder, hidden=8, residual_hidden=4),
        quantizer=quantizer or EMAQuantizer(num_codes=16, dim=4),
        reconstruction=L1(),
        optimizer=ADAM,
        adversary=Adversary(functools.partial(PatchDiscriminator, width=4, layers=1), ADAM, start=8),
        ema_half_life=50.0,
    )


def trained(model, data, tmp_path):
    """Trains for two iterations, and returns the file of a checkpoint."""
    trainer = pl.Trainer(
        max_steps=4 if isinstance(model, GAN) else 2,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    trainer.fit(model, data)
    path = tmp_path / f"{type(model).__name__}.ckpt"
    trainer.save_checkpoint(path)
    model.eval()
    return path


def test_a_gan_is_loaded_as_it_was_trained(tmp_path, experiment):
    data = digits()
    model = gan(data)
    path = trained(model, data, tmp_path)
    loaded = gen_experiments.load(path)
    assert isinstance(loaded, GAN)
    assert loaded.images_seen == model.images_seen > 0
    with torch.no_grad():
        assert torch.equal(loaded.sample(0, 3, seed=1), model.sample(0, 3, seed=1))
    assert loaded.penalties[0].every == 2
    assert loaded.hparams["augmentation_strength"]["init_args"]["end"] == 0.5
    assert experiment("sample", path, "--num=4", "--out=grid.png") == 0


@pytest.mark.parametrize(
    "quantizer", [None, ResidualQuantizer(functools.partial(EMAQuantizer, num_codes=8, dim=4), depth=2)]
)
def test_a_vqvae_is_loaded_as_it_was_trained(tmp_path, experiment, quantizer):
    data = digits()
    model = vqvae(data, quantizer)
    path = trained(model, data, tmp_path)
    loaded = gen_experiments.load(path)
    images = to_float(data.split("val").read(range(4)))
    with torch.no_grad():
        assert torch.equal(loaded.encode(images), model.encode(images))
        assert torch.equal(loaded.reconstruct(images), model.reconstruct(images))
    assert loaded.adversary.start == 8
    again = trained(gen_experiments.load(path).train(), data, tmp_path)
    assert torch.isfinite(gen_experiments.load(again).reconstruct(images)).all()


def test_a_prior_stands_alone_without_its_vqvae(tmp_path, monkeypatch):
    monkeypatch.setenv("GEN_EXPERIMENTS_CACHE", str(tmp_path / "cache"))
    data = digits()
    codes = trained(vqvae(data), data, tmp_path)
    prior = CodePrior(data.image, str(codes), functools.partial(AutoregressivePrior, width=8, depth=1, heads=2), ADAM)
    path = trained(prior, data, tmp_path)
    codes.unlink()
    with torch.no_grad():
        assert torch.equal(gen_experiments.load(path).sample(0, 2), prior.sample(0, 2))


def test_what_is_no_source_and_no_batch_is_said(tmp_path):
    images = torch.utils.data.TensorDataset(torch.zeros(8, 1, 16, 16), torch.zeros(8))
    with pytest.raises(UserError, match=r"a gen_experiments\.data\.sources\.Source, not a TensorDataset"):
        ImageDataModule(images)
    with pytest.raises(UserError, match=r"a batch is a list: train on the batches of an ImageDataModule"):
        trained(vqvae(digits()), torch.utils.data.DataLoader(images), tmp_path)


def test_loading_leaves_random_numbers_as_they_are(checkpoints):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    gen_experiments.load(checkpoints["gan"])
    assert torch.equal(torch.rand(3), expected)


def test_pictures_are_brought_to_a_model_as_the_data_are(tmp_path):
    deep = Image.fromarray(np.linspace(0, 65535, 40 * 60, dtype=np.uint16).reshape(40, 60))
    turned = Image.Exif()
    turned[274] = 6  # the camera was turned
    colours = Image.fromarray(np.random.default_rng(0).integers(0, 255, (30, 50, 3), dtype=np.uint8))
    deep.save(tmp_path / "a deep.png")
    colours.save(tmp_path / "b turned.jpg", exif=turned)
    colours.convert("CMYK").save(tmp_path / "c.jpg")
    colours.quantize(8).save(tmp_path / "d.gif")
    colours.convert("RGBA").resize((20, 20)).save(tmp_path / "e.webp", lossless=True)
    files = sorted(tmp_path.iterdir())
    expected = to_float(torch.from_numpy(ImageFolder(str(tmp_path)).decode("train", (16, 24)).images))
    image = ImageSpec(channels=3, size=(16, 24))
    assert torch.equal(gen_experiments.images_of(files, image), expected)
    opened = [Image.open(file) for file in files]
    assert torch.equal(gen_experiments.images_of(opened, image), expected)
    # A picture that has been read by Pillow stays as it is: it is not turned.
    opened[1].load()
    assert torch.equal(gen_experiments.images_of([opened[1], opened[1]], image), expected[[1, 1]])
    assert opened[1].size == (50, 30)
    opened[1].paste((0, 0, 0), (0, 0, 50, 30))  # what was drawn into it is not in its file
    assert (gen_experiments.images_of([opened[1]], image) == -1).all()
    (drawn,) = gen_experiments.images_of([Image.new("L", (7, 9), 255)], image)
    assert (drawn == 1).all()
    assert drawn.shape == (3, 16, 24)


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ([], "a list of one or more files or pictures of Pillow"),
        ("cat.jpg", "a list of one or more files or pictures of Pillow"),
        (["nowhere.png"], r"there is no file nowhere\.png"),
        ([torch.zeros(3, 8, 8)], "files or pictures of Pillow, not a Tensor"),
    ],
)
def test_what_is_no_picture_is_said(given, complaint):
    with pytest.raises(UserError, match=complaint):
        gen_experiments.images_of(given, ImageSpec())


def test_a_run_is_loaded_by_its_best_checkpoint(checkpoints):
    run = checkpoints["gan"].parent.parent
    best = gen_experiments.load(run / "checkpoints" / "best.ckpt")
    assert torch.equal(gen_experiments.load(run).sample(0, 1), best.sample(0, 1))
    with pytest.raises(UserError, match="no checkpoint at nowhere"):
        gen_experiments.load("nowhere")


def test_parts_that_no_file_can_describe_are_said_before_training(tmp_path):
    data = digits()
    model = VQVAE(
        data.image,
        lambda image, dim: ConvEncoder(image, dim, hidden=8, residual_hidden=4),
        functools.partial(ConvDecoder, hidden=8, residual_hidden=4),
        EMAQuantizer(num_codes=16, dim=4),
        L1(),
        ADAM,
    )
    with pytest.warns(UserWarning, match=r"only be loaded by Lightning: VQVAE\.encoder is function"):
        path = trained(model, data, tmp_path)
    with pytest.raises(UserError, match="was not written by"):
        gen_experiments.load(path)


def test_the_package_imports_nothing_heavy():
    code = "import gen_experiments, sys; print({'torch', 'lightning'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
