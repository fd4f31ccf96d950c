"""Pictures of one to four channels: alpha is kept where it is asked for, and no colours are guessed."""

import itertools
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

from gen_experiments.channels import viewable
from gen_experiments.data.damage import OneOf, damage_images
from gen_experiments.data.damage_parts import Grey
from gen_experiments.data.depth import in_eight_bits
from gen_experiments.data.framing import Framing, Place
from gen_experiments.data.jpeg import JPEG
from gen_experiments.data.picture_decoding import decode_one
from gen_experiments.errors import UserError
from gen_experiments.evaluation.archives import read_samples
from gen_experiments.grids import grid
from gen_experiments.images import save_image
from gen_experiments.losses.perceptual import Perceptual
from gen_experiments.metrics.channels import ChosenChannels
from gen_experiments.metrics.features import DigitsFeatures
from gen_experiments.networks.augment import DiffAugment
from pictures_on_disk import write_png16, write_shards, write_transparent

MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


@pytest.mark.parametrize("channels", MODES)
def test_what_is_written_reads_back_equal(tmp_path, channels):
    image = torch.randint(0, 256, (channels, 5, 7), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    path = save_image(image, tmp_path / "picture.png")
    assert Image.open(path).mode == MODES[channels]
    assert np.array_equal(decode_one(path, (5, 7), channels), image)


@pytest.mark.parametrize(("channels", "kept"), [(1, [255]), (2, [76, 0]), (3, [255] * 3), (4, [255, 0, 0, 0])])
def test_what_is_transparent_is_white_or_stays_so(tmp_path, channels, kept):
    # Red that cannot be seen.
    Image.new("RGBA", (4, 4), (255, 0, 0, 0)).save(tmp_path / "red.png")
    assert (decode_one(tmp_path / "red.png", 4, channels) == np.reshape(kept, (-1, 1, 1))).all()


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "P", "CMYK"])
def test_pictures_without_alpha_are_opaque(tmp_path, mode):
    path = tmp_path / ("picture.tif" if mode == "CMYK" else "picture.png")
    Image.new("RGB", (6, 6), (255, 255, 255)).convert(mode).save(path)
    for channels, framing in itertools.product((2, 4), (Framing(), Framing(fast=True), Framing(crop="pad"))):
        pixels = decode_one(path, 4, channels, framing)
        assert pixels.shape == (channels, 4, 4)
        assert (pixels == 255).all()


def test_colours_of_what_is_transparent_do_not_bleed_into_their_surroundings(tmp_path):
    array = np.zeros((8, 8, 4), dtype=np.uint8)
    array[:, :4] = (0, 255, 0, 255)
    array[:, 4:] = (255, 0, 0, 0)
    Image.fromarray(array).save(tmp_path / "edge.png")
    red, green, _, alpha = decode_one(tmp_path / "edge.png", 3, 4)
    seen = alpha > 0
    assert ((alpha > 0) & (alpha < 255)).any()
    assert (green[seen] == 255).all()
    assert (red[seen] == 0).all()


@pytest.mark.parametrize("channels", [2, 4])
@pytest.mark.parametrize("framing", [Framing(), Framing(depth=16), Framing(value_range=(0, 255))], ids=str)
def test_colours_under_an_alpha_of_zero_are_kept_until_pixels_are_blended(tmp_path, channels, framing):
    array = np.full((4, 4, channels), 200, dtype=np.uint8)
    array[:2, :, -1] = 0
    paths = [tmp_path / "a.npy", tmp_path / "a.png", tmp_path / "a16.png"]
    np.save(paths[0], array)
    Image.fromarray(array).save(paths[1])
    write_png16(paths[2], array.astype(np.uint16) * 257)
    for path in paths:
        scale = 257 if framing.depth == 16 else 1
        if path.name == "a16.png" and framing.value_range is not None:
            framing = replace(framing, value_range=(0, 65535))
        read = partial(decode_one, path, channels=channels)
        for whole in (None, 4):
            assert np.array_equal(read(size=whole, framing=framing), array.astype(int).transpose(2, 0, 1) * scale), path
        # Every other pixel.
        assert (read(size=2, framing=replace(framing, filter="nearest"))[:-1] == 200 * scale).all(), path
        halved = read(size=2, framing=replace(framing, filter="box"))
        assert (halved[:-1, 0] == 0).all(), path
        assert (halved[:-1, 1] == 200 * scale).all(), path


def test_padding_is_transparent_where_there_is_alpha(tmp_path):
    Image.new("RGBA", (8, 4), (9, 9, 9, 255)).save(tmp_path / "wide.png")
    alpha = decode_one(tmp_path / "wide.png", 8, 4, Framing(crop="pad"))[3]
    assert alpha[:, 0].tolist() == [0, 0, 255, 255, 255, 255, 0, 0]


@pytest.mark.parametrize("channels", [2, 4])
@pytest.mark.parametrize("filter", ["nearest", "box", "bicubic"])
@pytest.mark.parametrize(("crop", "place"), [("pad", None), ("random", Place(0.5, 0.5, 2.0))])
def test_the_ground_under_the_alpha_is_the_same_in_8_and_16_bits(tmp_path, channels, filter, crop, place):
    array = np.full((4, 8, channels), 60, dtype=np.uint8)
    array[..., -1] = 255
    paths = [tmp_path / "a.png", tmp_path / "a.npy", tmp_path / "a16.png"]
    Image.fromarray(array).save(paths[0])
    np.save(paths[1], array)
    write_png16(paths[2], array.astype(np.uint16) * 257)
    usual, deep = Framing(crop, filter), Framing(crop, filter, depth=16)
    eight = decode_one(paths[0], 8, channels, usual, place)
    # By hand: transparent above and below, white where it is laid there, black where the filter blends it.
    hidden = 0 if crop == "random" and filter != "nearest" else 255
    assert eight[:, 0, 4].tolist() == [hidden] * (channels - 1) + [0]
    assert eight[:, 4, 4].tolist() == [60] * (channels - 1) + [255]
    assert np.array_equal(decode_one(paths[1], 8, channels, usual, place), eight)
    for path in paths:
        assert np.array_equal(in_eight_bits(decode_one(path, 8, channels, deep, place)), eight), path


def test_two_channels_are_shown_beside_each_other_and_four_on_an_opaque_ground():
    images = torch.stack([torch.full((2, 3), 10), torch.full((2, 3), 20)]).to(torch.uint8)[None]
    assert viewable(images).tolist() == [[[[10, 10, 10, 20, 20, 20]] * 2]]
    assert grid(images, padding=1).shape == (1, 4, 8)
    assert viewable(torch.zeros(3, 4, 4)).shape == (3, 4, 4)
    sheet = grid(torch.zeros(2, 4, 3, 3, dtype=torch.uint8), padding=1)
    assert sheet[:, 0, 0].tolist() == [128, 128, 128, 255]
    assert sheet[:, 1, 1].tolist() == [0, 0, 0, 0]


def test_features_are_of_named_channels_or_refused():
    images = torch.randint(0, 256, (3, 4, 16, 16), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    digits = DigitsFeatures(any_images=True)
    with pytest.raises(UserError, match=r"takes images of 1 or 3 channels, not 4: .*--evaluation.extractor=Chosen"):
        digits(images)
    for channels in ((3,), (2, 0, 0)):
        chosen = ChosenChannels(digits, channels)
        assert torch.equal(chosen(images), digits(images[:, list(channels)]))
        assert chosen.protocol()["channels"] == list(channels)
        assert chosen.fingerprint != digits.fingerprint
    with pytest.raises(UserError, match="channels names 2, and the last of these images is 1"):
        ChosenChannels(digits, (0, 1, 2))(images[:, :2])
    for wrong in ((), (0, 1), (-1,)):
        with pytest.raises(UserError, match="one or three of an image's"):
            ChosenChannels(digits, wrong)


def test_lpips_sees_named_channels(backbone_weights):
    weights = str(backbone_weights / "alexnet-owt-7be5be79.pth")
    source = torch.Generator().manual_seed(0)
    first, second = (torch.rand(2, 4, 64, 64, generator=source) * 2 - 1 for _ in range(2))
    with pytest.raises(UserError, match=r"1 or 3 channels, not 4: name three of them by channels"):
        Perceptual(net="alex", weights=weights).lpips(first, second)
    chosen = Perceptual(net="alex", weights=weights, channels=(2, 0, 0)).lpips(first, second)
    plain = Perceptual(net="alex", weights=weights).lpips(first[:, [2, 0, 0]], second[:, [2, 0, 0]])
    assert torch.equal(chosen, plain)


@pytest.mark.parametrize("channels", [2, 4])
def test_what_knows_colours_alone_refuses_others(channels):
    images, seeds = torch.zeros(2, channels, 16, 16), torch.arange(2)
    for part in (Grey(), JPEG(), OneOf([Grey()])):
        with pytest.raises(UserError, match=f"is for images of 1 or 3 channels, not {channels}"):
            damage_images(images, [part], seeds)
    with pytest.raises(UserError, match=f"not {channels}: set colour to false"):
        DiffAugment()(images, 1.0, torch.rand(2, 10))
    assert DiffAugment(colour=False)(images, 1.0, torch.rand(2, 10)).shape == images.shape


def test_samples_of_other_tools_may_have_alpha(tmp_path):
    np.savez(tmp_path / "samples.npz", arr_0=np.zeros((2, 4, 4, 4), dtype=np.uint8))
    assert read_samples(tmp_path / "samples.npz").shape == (2, 4, 4, 4)


def test_shards_keep_alpha(tmp_path):
    from gen_experiments.data.sources import Shards

    write_transparent(tmp_path / "in", 4)
    files = sorted((tmp_path / "in").glob("*.png"))
    write_shards(tmp_path / "shards", {"train": files})
    images = Shards(str(tmp_path / "shards"), channels=4).decode("train", 24).images
    assert np.array_equal(images, np.stack([np.array(Image.open(file)).transpose(2, 0, 1) for file in files]))
