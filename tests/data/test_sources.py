import numpy as np
import pytest
from PIL import Image

from gen_experiments.data.picture_decoding import resize_all
from gen_experiments.data.sources import CIFAR10, MNIST, Digits, FashionMNIST, ImageFolder
from gen_experiments.errors import UserError
from pictures_on_disk import write_cifar10, write_mnist, write_pictures


def test_digits_are_real_and_embedded():
    decoded = Digits().decode("train", 32)
    assert decoded.images.shape == (1797, 1, 32, 32)
    assert decoded.images.dtype == np.uint8
    assert np.bincount(decoded.labels).min() > 170
    assert decoded.images.max() == 255


@pytest.mark.parametrize(("source", "name"), [(MNIST, "MNIST"), (FashionMNIST, "FashionMNIST")])
def test_idx_files_are_read(tmp_path, source, name):
    write_mnist(tmp_path, name=name)
    read = source(str(tmp_path), download=False)
    assert read.splits() == {"train", "test"}
    native = read.decode("train", 28)
    raw = (tmp_path / name / "raw" / "train-images-idx3-ubyte").read_bytes()[16:]
    assert native.images.tobytes() == raw
    assert native.labels.tolist() == [i % 10 for i in range(40)]
    assert read.decode("test", 32).images.shape == (10, 1, 32, 32)


def test_cifar10_is_read(tmp_path, monkeypatch):
    write_cifar10(tmp_path, monkeypatch)
    read = CIFAR10(str(tmp_path), download=False)
    assert read.decode("train", 32).images.shape == (40, 3, 32, 32)
    assert read.decode("test", 32).labels.tolist() == list(range(8))
    before = read.key("test")
    (tmp_path / "cifar-10-batches-py" / "test_batch").touch()
    assert read.key("test") != before


def test_a_missing_data_set_says_what_to_do(tmp_path):
    with pytest.raises(UserError, match=r"MNIST is not in .*--data\.source\.root"):
        MNIST(str(tmp_path), download=False).fetch()


def test_another_data_set_of_the_same_name_has_another_key(tmp_path):
    for folder, count in (("a", 40), ("b", 41)):
        write_mnist(tmp_path / folder, train=count)
    assert MNIST(str(tmp_path / "a")).key("train") != MNIST(str(tmp_path / "b")).key("train")


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "LA", "CMYK", "LAB", "1", "I;16"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_mode_is_read(tmp_path, mode, channels):
    grey = np.full((10, 10), 200, dtype=np.uint8)
    if mode == "I;16":
        picture = Image.fromarray(grey.astype(np.uint16) * 257)
    else:
        picture = Image.fromarray(grey).convert("RGB" if mode == "LAB" else "L").convert(mode)
    picture.save(tmp_path / ("a.tiff" if mode in ("CMYK", "LAB") else "a.png"))
    image = ImageFolder(str(tmp_path), channels).decode("train", 10).images[0]
    assert image.shape == (channels, 10, 10)
    if mode != "1":
        assert abs(image.astype(int) - 200).max() <= 1


def test_transparency_is_laid_on_white(tmp_path):
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(tmp_path / "a.png")
    assert (ImageFolder(str(tmp_path)).decode("train", 8).images == 255).all()


@pytest.mark.parametrize(("mode", "colour"), [("L", 200), ("RGB", (200, 200, 200)), ("1", 1)])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_a_colour_that_a_png_calls_transparent(tmp_path, mode, colour, channels):
    picture = Image.new(mode, (8, 8), colour)
    picture.paste(0, (0, 0, 8, 4)) if mode != "RGB" else picture.paste((0, 0, 0), (0, 0, 8, 4))
    picture.save(tmp_path / "a.png", transparency=colour)
    image = ImageFolder(str(tmp_path), channels).decode("train", 8).images[0]
    colours = image[: channels - (channels in (2, 4))]
    assert (colours[:, :4] == 0).all()
    if channels in (2, 4):
        assert (image[-1, :4] == 255).all()
        assert (image[-1, 4:] == 0).all()
    else:
        assert (colours[:, 4:] == 255).all()


def test_exif_turns_and_the_centre_is_kept(tmp_path):
    picture = Image.new("RGB", (30, 10), "black")
    picture.paste("white", (0, 0, 30, 5))  # the upper half is white
    exif = Image.Exif()
    exif[274] = 3  # turned by 180 degrees
    picture.save(tmp_path / "a.png", exif=exif)
    image = ImageFolder(str(tmp_path), 1).decode("train", 10).images[0, 0]
    assert image[0].max() == 0
    assert image[-1].min() == 255


@pytest.mark.parametrize("damage", ["truncated", "text"])
def test_a_picture_that_cannot_be_decoded_is_named(tmp_path, damage):
    write_pictures(tmp_path, 3, size=(64, 64))
    path = tmp_path / "001.png"
    path.write_bytes(path.read_bytes()[:2000] if damage == "truncated" else b"no picture")
    with pytest.raises(UserError, match=r"001\.png cannot be decoded"):
        ImageFolder(str(tmp_path)).decode("train", 8)


def test_the_centre_of_arrays_is_kept():
    pixels = np.arange(2 * 4 * 10 * 3, dtype=np.uint8).reshape(2, 4, 10, 3)
    assert np.array_equal(resize_all(pixels, 4), pixels[:, :, 3:7].transpose(0, 3, 1, 2))
    assert np.array_equal(resize_all(pixels.swapaxes(1, 2), 4), pixels[:, :, 3:7].transpose(0, 3, 2, 1))
    assert np.array_equal(resize_all(pixels, (2, 10)), pixels[:, 1:3].transpose(0, 3, 1, 2))
