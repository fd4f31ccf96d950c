import numpy as np
import pytest
import torch
from PIL import Image

from gen_experiments.errors import UserError
from gen_experiments.images import ImageSpec, save_image, to_float, to_uint8


def test_a_spec_knows_the_shape():
    assert ImageSpec(3, 32).shape == (3, 32, 32)
    assert ImageSpec(1, 28).num_classes is None


def test_every_byte_survives_the_round_trip():
    levels = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    values = to_float(levels)
    assert values.dtype == torch.float32
    assert (values.min(), values.max()) == (-1, 1)
    assert torch.equal(to_uint8(values), levels)


def test_floats_are_rounded_and_clamped():
    values = torch.tensor([-7.0, -1.0, -0.004, 0.004, 0.999, 1.0, 3.0])
    assert to_uint8(values).tolist() == [0, 0, 127, 128, 255, 255, 255]


def test_neither_conversion_touches_its_argument():
    levels, values = torch.full((2,), 9, dtype=torch.uint8), torch.full((2,), 0.5, requires_grad=True)
    to_float(levels)
    to_uint8(values)
    assert levels.tolist() == [9, 9]
    assert values.tolist() == [0.5, 0.5]


def test_half_precision_is_converted_in_full():
    assert to_uint8(torch.tensor([0.5], dtype=torch.bfloat16)).item() == 191


@pytest.mark.parametrize("channels", [1, 3])
def test_a_saved_image_reads_back_equal(tmp_path, channels):
    image = torch.arange(channels * 12, dtype=torch.uint8).reshape(channels, 3, 4)
    path = save_image(image, tmp_path / "new" / "picture.png")
    read = np.asarray(Image.open(path))
    assert np.array_equal(read if channels == 3 else read[..., None], image.permute(1, 2, 0).numpy())


def test_an_unknown_ending_is_refused_with_the_known_ones(tmp_path):
    with pytest.raises(UserError, match=r"\.png"):
        save_image(torch.zeros(1, 2, 2, dtype=torch.uint8), tmp_path / "picture.what")


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="cannot write"):
        save_image(torch.zeros(1, 2, 2, dtype=torch.uint8), tmp_path / "file" / "picture.png")
