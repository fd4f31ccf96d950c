"""interpolate, explore and project: a GAN's latent space."""

import re

import numpy as np
import pytest
import torch
from PIL import Image

from conftest import CONFIGS, SHORT
from exported_models import of_classes, write_livened
from gen_experiments.checkpoints.loading import load_model
from gen_experiments.commands.explore import semantic_directions
from gen_experiments.commands.interpolate import slerp
from gen_experiments.images import to_float, to_uint8
from gen_experiments.losses.perceptual import Perceptual
from gen_experiments.models.gan import GAN
from gen_experiments.models.sampling import sample_rngs
from shared_fixtures import BACKBONE_FILES


@pytest.fixture(scope="module")
def conditional(contents, tmp_path_factory):
    """A GAN whose images differ from class to class, as those of one that is hardly trained do not."""
    path = tmp_path_factory.mktemp("conditional") / "gan.ckpt"
    return write_livened(of_classes(contents["gan"]["hyper_parameters"]), path, gain=2.0)


@pytest.fixture
def plain(experiment, tmp_path):
    """A generator whose images differ, untrained as it is."""
    networks = ["--model.generator=PlainGenerator", "--model.discriminator=PlainDiscriminator"]
    short = [*SHORT, "--trainer.max_steps=2", "--evaluation.samples=70"]
    assert experiment("fit", f"--config={CONFIGS / 'gan.yaml'}", *networks, *short) == 0
    return tmp_path / "runs" / "gan" / "version_0" / "checkpoints" / "last.ckpt"


def tile(path, row, column):
    grid = np.asarray(Image.open(path))
    return grid[2 + 34 * row : 34 + 34 * row, 2 + 34 * column : 34 + 34 * column]


def pixels(path):
    return np.asarray(Image.open(path)).astype(int)


def samples(path, count, labels=None):
    with torch.no_grad():
        return to_uint8(load_model(path, GAN, "test").sample(0, count, labels=labels))[:, 0].numpy().astype(int)


def test_slerp_by_hand():
    a, b = torch.tensor([2.0, 0.0]), torch.tensor([0.0, 2.0])
    middle = 2**0.5
    torch.testing.assert_close(
        slerp(a, b, torch.tensor([0.0, 0.5, 1.0])), torch.tensor([[2.0, 0.0], [middle, middle], [0.0, 2.0]])
    )
    third = slerp(a, b, torch.tensor([1 / 3]))[0]
    torch.testing.assert_close(third, 2 * torch.tensor([3**0.5 / 2, 0.5]))


@pytest.mark.parametrize("b", [[4.0, 0.0], [-2.0, 0.0], [0.0, 0.0], [2.0, 0.0]])
def test_where_there_is_no_arc_the_way_is_straight(b):
    a, b = torch.tensor([2.0, 0.0]), torch.tensor(b)
    torch.testing.assert_close(slerp(a, b, torch.tensor([0.0, 0.25, 1.0])), torch.stack([a, 0.75 * a + 0.25 * b, b]))


def test_rows_lead_from_sample_to_sample(experiment, checkpoints):
    assert experiment("interpolate", checkpoints["gan"], "--points=3", "--steps=4", "--out=a.png") == 0
    first, second, third = samples(checkpoints["gan"], 3)
    for place, expected in (((0, 0), first), ((0, 3), second), ((1, 0), second), ((1, 3), third)):
        assert np.abs(tile("a.png", *place) - expected).max() <= 1
    assert np.asarray(Image.open("a.png")).shape == (2 * 34 + 2, 4 * 34 + 2)


@pytest.mark.parametrize("ending", ["gif", "webp"])
def test_an_animation_goes_round(experiment, checkpoints, ending):
    assert experiment("interpolate", checkpoints["gan"], "--points=3", "--steps=4", f"--out=a.{ending}") == 0
    frames = []  # at every 80 milliseconds: equal ones in a row are one in the file
    with Image.open(f"a.{ending}") as animation:
        assert animation.info["loop"] == 0
        for number in range(animation.n_frames):
            animation.seek(number)
            animation.load()
            frames += [np.asarray(animation.convert("L"))[2:34, 2:34].astype(int)] * (animation.info["duration"] // 80)
    assert len(frames) == 12
    assert np.abs(frames[4] - samples(checkpoints["gan"], 2)[1]).mean() < 8
    # From the first it goes to the second, and not to the third; the end is the next arc's.
    model = load_model(checkpoints["gan"], GAN, "test")
    first, second, third = model.noise(sample_rngs(0, 3, 0))
    ways = torch.stack(
        [slerp(first, to, torch.tensor([t]))[0] for to, t in ((second, 0.75), (third, 0.75), (second, 1))]
    )
    with torch.no_grad():
        errors = (to_uint8(model(ways))[:, 0] - torch.from_numpy(frames[3])).abs().float().mean((1, 2))
    assert errors[0] < 0.9 * errors[1:].min()


def test_each_class_goes_the_same_way(experiment, conditional, capsys):
    assert experiment("interpolate", conditional, "--points=3", "--steps=3", "--classes=[4, 7]", "--out=a.png") == 0
    assert "wrote 4 rows of 3 images to a.png" in capsys.readouterr().out
    for row, label in ((0, 4), (2, 7)):
        first, middle, last = samples(conditional, 3, torch.full((3,), label))
        for place, expected in (((0, 0), first), ((0, 2), middle), ((1, 0), middle), ((1, 2), last)):
            assert np.abs(tile("a.png", row + place[0], place[1]) - expected).max() <= 1


def test_without_classes_all_images_have_the_label_of_the_first(experiment, conditional):
    model = load_model(conditional, GAN, "test")
    rngs = sample_rngs(0, 2, 0)
    labels, noise = model.drawn_labels(rngs), model.noise(rngs)
    assert labels[0] != labels[1]
    assert experiment("interpolate", conditional, "--points=2", "--steps=3", "--out=a.png") == 0
    assert np.asarray(Image.open("a.png")).shape == (34 + 2, 3 * 34 + 2)
    with torch.no_grad():
        second = to_uint8(model(noise, labels[:1].expand(2)))[1, 0].numpy().astype(int)
    for column, expected in ((0, samples(conditional, 1)[0]), (2, second)):
        assert np.abs(tile("a.png", 0, column) - expected).max() <= 1


def test_directions_are_the_right_singular_vectors():
    weight = torch.randn(12, 5, generator=torch.Generator().manual_seed(0))
    rows, gains = semantic_directions(weight)
    _, singular, vectors = torch.linalg.svd(weight)
    torch.testing.assert_close(gains, singular.square())
    torch.testing.assert_close((rows * vectors).sum(dim=1).abs(), torch.ones(5))
    torch.testing.assert_close(rows @ rows.T, torch.eye(5), atol=1e-5, rtol=0)


def test_the_middle_column_is_the_sample(experiment, checkpoints, conditional):
    for gan in (checkpoints["gan"], conditional):
        assert experiment("explore", gan, "--directions=3", "--steps=5", "--number=1", "--out=a.png") == 0
        _, expected = samples(gan, 2)
        for row in range(3):
            assert np.abs(tile("a.png", row, 2) - expected).max() <= 1
            assert not np.array_equal(tile("a.png", row, 0), tile("a.png", row, 4))


def test_a_row_leads_as_far_to_either_side_as_asked_for(experiment, plain, capsys):
    chosen = ["--directions=2", "--steps=3", "--reach=2", "--number=1", "--seed=3", "--out=a.png"]
    assert experiment("explore", plain, *chosen) == 0
    model = load_model(plain, GAN, "test")
    noise = model.noise(sample_rngs(1, 1, 3))
    _, singular, vectors = torch.linalg.svd(model.ema.module.first_weight.detach().double())
    shares = singular.square() / singular.square().sum()
    said = f"of {float(shares[0]):.1%}, {float(shares[1]):.1%} of the first layer's gain"
    assert said in capsys.readouterr().out
    for row, vector in enumerate(vectors[:2].float()):
        towards = vector * vector[vector.abs().argmax()].sign()  # the largest entry grows from left to right
        for column, way in enumerate((-2, 0, 2)):
            with torch.no_grad():
                expected = to_uint8(model(noise + way * towards))[0, 0].numpy().astype(int)
            assert np.abs(tile("a.png", row, column) - expected).max() <= 1


def test_what_the_generator_made_is_found_again(experiment, plain, capsys, tmp_path):
    assert experiment("sample", plain, "--num=602", "--out=made") == 0
    (tmp_path / "pictures").mkdir()
    for number in (600, 601):  # none of the candidates that the descent starts from
        (tmp_path / "made" / f"00{number}.png").rename(tmp_path / "pictures" / f"{number}.png")
    capsys.readouterr()
    psnr, noise = [], []
    for steps in (1, 60):
        chosen = ["--images=pictures", f"--steps={steps}", "--lr=0.1"]
        assert experiment("project", plain, *chosen) == 0
        noise.append(np.load("latents.npz")["latents"])
        psnr.append([float(value) for value in re.findall(r"PSNR ([\d.]+) dB", capsys.readouterr().out)])
    assert len(psnr[1]) == 2
    assert all(after > before + 3 for before, after in zip(*psnr, strict=True))
    # Adam's first step moves the numbers by its rate, from the nearest of the first 512 samples.
    nearest = [
        min(range(512), key=lambda other: np.square(pixels(f"made/{other:05d}.png") - picture).sum())
        for picture in (pixels("pictures/600.png"), pixels("pictures/601.png"))
    ]
    began = load_model(plain, GAN, "test").noise(sample_rngs(0, 512, 0))[nearest].numpy()
    assert np.median(np.abs(noise[0] - began), axis=1) == pytest.approx(0.1, rel=1e-3)
    assert experiment("interpolate", plain, "--latents=latents.npz", "--steps=3", "--out=a.png") == 0
    assert np.abs(tile("a.png", 0, 0).astype(int) - tile("projections.png", 1, 0)).max() <= 1
    for held, why in ((noise[1][:1], "holds the noise of one picture"), (np.nan * noise[1], "that is not finite")):
        np.savez("spoilt.npz", latents=held)
        assert experiment("interpolate", plain, "--latents=spoilt.npz") == 1
        assert why in capsys.readouterr().err


def test_a_style_is_carried_to_other_classes(experiment, conditional):
    assert experiment("sample", conditional, "--num=2", "--class=3", "--out=pictures") == 0
    chosen = ["--images=pictures", "--class=3", "--classes=[4, 7]", "--steps=2"]
    assert experiment("project", conditional, *chosen) == 0
    noise = torch.from_numpy(np.load("latents.npz")["latents"])
    model = load_model(conditional, GAN, "test")
    for row in range(2):
        original = np.asarray(Image.open(f"pictures/0000{row}.png"))
        assert np.array_equal(tile("projections.png", row, 0), original)
        for column, label in enumerate((3, 4, 7), start=1):
            with torch.no_grad():
                expected = to_uint8(model(noise[row : row + 1], torch.tensor([label])))[0, 0].numpy().astype(int)
            assert np.abs(tile("projections.png", row, column) - expected).max() <= 1


def test_a_projection_may_compare_features(experiment, plain, tmp_path, backbone_weights):
    weights = str(backbone_weights / BACKBONE_FILES["alex"])
    assert experiment("sample", plain, "--num=2", "--out=pictures", "--seed=1") == 0
    distance, message = Perceptual(net="alex", weights=weights), []
    for options in ([], ["--perceptual=100", "--net=alex", f"--weights={weights}"]):
        assert experiment("project", plain, "--images=pictures", "--steps=20", "--lr=0.1", *options) == 0
        above, below = (
            to_float(torch.stack([torch.from_numpy(tile("projections.png", row, column))[None] for column in (0, 1)]))
            for row in (0, 1)
        )
        message.append(distance.lpips(below, above).sum())
    assert message[1] < message[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["interpolate", "vqvae"], "holds a VQVAE, which cannot interpolate"),
        (["explore", "vqvae"], "holds a VQVAE, which cannot explore"),
        (["project", "vqvae", "--images=."], "holds a VQVAE, which cannot project"),
        (["interpolate", "gan", "--classes=[1]"], "this model knows no classes: leave out --classes"),
        (["interpolate", "gan", "--points=1"], "points must be >= 2"),
        (["interpolate", "gan", "--points=129", "--steps=128"], "must be at most 16384, not 16512"),
        (["interpolate", "gan", "--latents=nowhere.npz"], "nowhere.npz holds no noise"),
        (["interpolate", "gan", "--out=a.mp4"], "cannot write a.mp4"),
        (["explore", "gan", "--directions=65"], "directions must be in [1, 64]"),
        (["explore", "gan", "--steps=4"], "steps must be odd"),
        (["project", "gan", "--images=.", "--class=1"], "this model knows no classes: leave out --class"),
        (["project", "conditional", "--images=."], "name the pictures' --class"),
        (
            ["project", "conditional", "--images=.", "--class=1", "--classes=[0, 10]"],
            "--classes must be a class (0, 1, 2, 3, 4, 5, 6, 7, …) or be in 0 ... 9, not 10",
        ),
        (["project", "gan", "--images=nowhere"], "there is no image folder nowhere"),
    ],
)
def test_mistakes_get_one_line(experiment, checkpoints, conditional, capsys, arguments, message):
    Image.new("L", (32, 32)).save("picture.png")
    command, model, *options = arguments
    assert experiment(command, {**checkpoints, "conditional": conditional}[model], *options) not in (0, None)
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(said) == 1
    assert message in said[0]
