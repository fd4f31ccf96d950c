"""Pictures of a codebook: where codes lie, and what they stand for."""

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import CSVLogger
from PIL import Image
from torch.utils.data import DataLoader

from conftest import SHORT, SMALL
from gen_experiments.callbacks.codes import CodePictures, code_maps, nearest_codes
from gen_experiments.images import Batch, to_float, to_uint8
from small_models import IMAGES, vqvae


def cell(path, row, column, mode="L"):
    """One image of a grid of 8x8 images two pixels apart."""
    pixels = torch.from_numpy(np.asarray(Image.open(path).convert(mode)).copy())
    return pixels[2 + 10 * row :, 2 + 10 * column :][:8, :8]


def test_a_map_of_one_channel_is_red_from_its_least_to_its_most():
    maps = code_maps(torch.tensor([[3.0, 1.0], [2.0, 5.0]]).reshape(1, 1, 2, 2), (4, 4))
    red = torch.tensor([[0.0, -1.0], [-0.5, 1.0]])
    expected = torch.stack([red, -torch.ones(2, 2), -torch.ones(2, 2)])[None]
    torch.testing.assert_close(maps, expected.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3))


def test_the_widest_direction_is_red_whichever_channel_it_is():
    across = torch.tensor([[0.0, 1.0, 0.0, 1.0]])
    along = torch.tensor([[-9.0, -9.0, 9.0, 9.0]])
    for latents, sign in (((across, along), 1), ((along, across), 1), ((across, -along), -1)):
        maps = code_maps(torch.stack(latents)[None], (4, 4))[0, :, :1, :]
        assert maps.shape == (3, 1, 4)
        torch.testing.assert_close(sign * maps[0, 0], torch.tensor([-1.0, -1.0, 1.0, 1.0]))
        torch.testing.assert_close(maps[1, 0], torch.tensor([-1.0, 1.0, -1.0, 1.0]))


def test_codes_that_are_all_alike_have_a_colour():
    assert torch.equal(code_maps(torch.ones(2, 4, 2, 2), (2, 2)), torch.full((2, 3, 2, 2), -1.0))


def test_nearest_codes_by_hand():
    codes = torch.tensor([[0.0], [10.0], [1.0], [8.0], [0.0]])
    # Of the first: itself before its twin. Of the second: itself, 8, 1.
    assert nearest_codes(codes, 2, 2).T.tolist() == [[0, 4, 2], [1, 3, 2]]
    assert nearest_codes(codes, 5, 99).shape == (5, 5)


def test_what_is_drawn_is_what_the_codes_decode_to(tmp_path):
    torch.manual_seed(0)
    model = vqvae()
    model.quantizer.codebook.copy_(torch.randn(8, 4, generator=torch.Generator().manual_seed(0)) / 4)
    trainer = Trainer(
        accelerator="cpu",
        logger=CSVLogger(tmp_path, name="run", version=0),
        callbacks=[CodePictures(count=3, columns=2, neighbours=1)],
        enable_progress_bar=False,
        enable_checkpointing=False,
    )
    loader = DataLoader([Batch(to_float(IMAGES[i : i + 2]), None) for i in (0, 2)], batch_size=None)
    trainer.validate(model, loader, verbose=False)
    before = model.eval().encode(to_float(IMAGES[:4]))
    # The second validation is drawn, after the codes have changed: one is a twin that is never the first of two.
    model.quantizer.codebook.copy_(model.quantizer.codebook.roll(1, 0))
    used = model.encode(to_float(IMAGES[:4])).unique().tolist()
    twin = next(code for code in range(used[0] + 1, 8) if code not in used)
    model.quantizer.codebook[twin] = model.quantizer.codebook[used[0]]
    assert not torch.equal(before[:3], model.encode(to_float(IMAGES[:3])))
    trainer.validate(model, loader, verbose=False)
    assert model.code_counts[twin] == 0
    folder = tmp_path / "run" / "version_0" / "images"
    grid_of_codes = model.eval().encode(to_float(IMAGES[:1])).shape[1:]
    most = model.code_counts.argsort(descending=True, stable=True)[:2]
    for column, code in enumerate(most):
        decoded = model.decode(code.expand(1, *grid_of_codes))
        assert torch.equal(cell(folder / "codebook-0000000.png", 0, column), to_uint8(decoded)[0, 0]), column
    # Of the used codes the nearest to one is another.
    assert Image.open(folder / "codebook-0000000.png").size == (2 + 2 * 10, 2 + 2 * 10)
    assert not torch.equal(*(cell(folder / "codebook-0000000.png", row, 0) for row in (0, 1)))
    codes = model.encode(to_float(IMAGES[:3]))
    maps = to_uint8(code_maps(model.code_latents(codes), (8, 8)))
    for row, column, number in ((1, 0, 0), (1, 1, 1), (3, 0, 2)):
        shown = cell(folder / "code_maps-0000000.png", row, column, "RGB")
        assert torch.equal(shown.permute(2, 0, 1), maps[number]), number
    # Two images, their maps, the third image, its map.
    for row, column, image in ((0, 0, 0), (0, 1, 1), (2, 0, 2)):
        assert torch.equal(cell(folder / "code_maps-0000000.png", row, column), IMAGES[image, 0])


QUANTIZERS = {
    "one grid": [],
    "one code, small images": ["--model.quantizer.num_codes=1", "--data.size=8"],
    "levels": [
        "--model.quantizer=ResidualQuantizer",
        "--model.quantizer.quantizer=EMAQuantizer",
        "--model.quantizer.quantizer.num_codes=16",
        "--model.quantizer.quantizer.dim=8",
    ],
}


@pytest.mark.parametrize("kind", QUANTIZERS)
def test_a_run_writes_them_at_every_validation(experiment, tmp_path, kind):
    # Nothing is drawn in a sanity check.
    assert experiment("fit", *SMALL["vqvae"], *QUANTIZERS[kind], *SHORT, "--trainer.num_sanity_val_steps=1") == 0
    folder = tmp_path / "runs" / "vqvae" / "version_0" / "images"
    scores = (folder.parent / "metrics.csv").read_text().splitlines()[0]
    assert "val/psnr" in scores
    assert ("val/ssim" in scores) == (kind != "one code, small images")  # its window is larger than they are
    for name in ("code_maps", "codebook", "reconstructions"):
        assert [path.name for path in sorted(folder.glob(f"{name}-*"))] == [f"{name}-000000{i}.png" for i in (2, 4)]
