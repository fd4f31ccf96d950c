import numpy as np
import pytest
import torch
from PIL import Image

from gen_experiments.commands import inpaint as inpainting
from gen_experiments.commands.inpaint import covered_codes
from gen_experiments.priors.base import CodeSpec
from pictures_on_disk import write_pictures


@pytest.fixture
def pictures(tmp_path):
    write_pictures(tmp_path / "pictures", 2, size=(32, 32), mode="L")
    return "pictures"


def cell(path, row, column):
    grid = np.asarray(Image.open(path))
    return grid[2 + 34 * row : 34 + 34 * row, 2 + 34 * column : 34 + 34 * column]


def write_mask(path, covered, size=32):
    path.parent.mkdir(exist_ok=True)
    mask = np.full((size, size), 127, dtype=np.uint8)
    mask[covered] = 128
    Image.fromarray(mask).save(path)
    return mask == 128


def test_known_pixels_stay_and_covered_ones_are_proposed(experiment, checkpoints, pictures):
    assert experiment("inpaint", checkpoints["prior"], f"--images={pictures}", "--out=a.png", "--proposals=2") == 0
    for row in range(2):
        original = np.asarray(Image.open(f"pictures/00{row}.png"))
        covered = np.zeros((32, 32), dtype=bool)
        covered[8:24, 8:24] = True
        assert np.array_equal(cell("a.png", row, 0), original)
        assert np.array_equal(cell("a.png", row, 1), np.where(covered, 128, original))
        first, second = cell("a.png", row, 2), cell("a.png", row, 3)
        assert np.array_equal(first[~covered], original[~covered])
        assert np.array_equal(second[~covered], original[~covered])
        assert not np.array_equal(first[covered], second[covered])


def test_each_picture_may_have_a_mask_of_its_own(experiment, checkpoints, pictures, tmp_path):
    masks = [
        write_mask(tmp_path / "masks" / "000.bmp", np.s_[:4]),
        write_mask(tmp_path / "masks" / "001.png", np.s_[:, 9:]),
    ]
    write_mask(tmp_path / "masks" / "0.png", np.s_[:9])  # of another picture, and first by its name
    whole = ["inpaint", checkpoints["prior"], f"--images={pictures}", "--proposals=1"]
    assert experiment(*whole, "--mask=masks", "--out=a.png") == 0
    for row, mask in enumerate(masks):
        original = np.asarray(Image.open(f"pictures/00{row}.png"))
        assert np.array_equal(cell("a.png", row, 1), np.where(mask, 128, original))
        assert np.array_equal(cell("a.png", row, 2)[~mask], original[~mask])
    # The other pictures of a batch do not matter.
    assert experiment(*whole, "--mask=masks/000.bmp", "--out=b.png") == 0
    assert np.array_equal(cell("a.png", 0, 2), cell("b.png", 0, 2))


def test_fillings_have_the_names_of_their_pictures_and_batches_do_not_matter(
    experiment, checkpoints, pictures, capsys, monkeypatch
):
    words = ["inpaint", checkpoints["prior"], f"--images={pictures}", "--mask=4,4,20,20"]
    assert experiment(*words, "--proposals=2", "--out=a.png") == 0
    monkeypatch.setattr("gen_experiments.commands.outputs.BATCH", 1)
    assert experiment(*words, "--proposals=2", "--out=many") == 0
    assert "wrote 2 filled images to many/proposal_2" in capsys.readouterr().out
    assert experiment(*words, "--proposals=1", "--out=one") == 0
    for row in (0, 1):
        fillings = [np.asarray(Image.open(f"many/proposal_{number}/00{row}.png")) for number in (1, 2)]
        assert all(np.array_equal(made, cell("a.png", row, 1 + number)) for number, made in enumerate(fillings, 1))
        assert np.array_equal(np.asarray(Image.open(f"one/00{row}.png")), fillings[0])


def test_a_seed_names_the_fillings(experiment, checkpoints, pictures):
    for out, seed in (("a.png", 0), ("b.png", 0), ("c.png", 1)):
        chosen = [f"--seed={seed}", f"--out={out}", "--mask=4,4,20,20", "--class=3"]
        assert experiment("inpaint", checkpoints["prior"], f"--images={pictures}", *chosen) == 0
    assert np.array_equal(Image.open("a.png"), Image.open("b.png"))
    assert not np.array_equal(Image.open("a.png"), Image.open("c.png"))


def test_covered_pixels_begin_as_the_median_of_the_known_ones():
    images = torch.tensor([[0.5, -1.0, 0.75, 0.25], [0.5, 0.5, 0.5, 0.5]]).reshape(2, 1, 2, 2)
    covered = torch.tensor([[True, False, False, False], [True] * 4]).reshape(2, 1, 2, 2)
    # Of a picture that is covered whole they are grey: 128 of 255.
    assert inpainting._median(images, covered).flatten().tolist() == pytest.approx([0.25, 1 / 255], abs=1e-6)


def test_codes_that_touch_the_mask_are_unknown_and_so_are_their_neighbours():
    mask = torch.zeros(2, 1, 8, 8, dtype=torch.bool)
    mask[0, 0, 7, 0] = True  # the lower left of 4x4 cells
    mask[1, 0, 3:5, 4] = True  # touches rows 1 and 2 of column 2
    first, second = covered_codes(mask, CodeSpec(((4, 4),), 16)).reshape(2, 4, 4)
    assert first.tolist() == [[False] * 4, [False] * 4, [True, True, False, False], [True, True, False, False]]
    assert second.tolist() == [[False, True, True, True]] * 4
    both = covered_codes(mask, CodeSpec(((2, 2), (4, 4)), 16))
    assert both.shape == (2, 20)
    assert torch.equal(both[:, 4:].reshape(2, 4, 4), torch.stack([first, second]))


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        ("vqvae", [], "holds a VQVAE, which cannot inpaint"),
        ("prior", ["--mask=small.png"], "has 16x16 pixels; a mask must have 32x32"),
        ("prior", ["--mask=black.png"], "covers nothing"),
        ("prior", ["--mask=nowhere.png"], "is no file, no folder"),
        ("prior", ["--mask=4,4,40,20"], "does not lie in a picture of 32x32"),
        (
            "prior",
            ["--mask=masks"],
            "masks has no mask for 1 of 2 pictures, such as 001.png: give each",
        ),
        ("prior", ["--mask=one_black"], "covers nothing of a picture"),
        ("prior", ["--mask=two"], "two/000.bmp and two/000.png are masks of one picture: keep one"),
        ("prior", ["--proposals=0"], "proposals must be >= 1"),
        ("prior", ["--class=10"], "--class must be a class (0, 1, 2, 3, 4, 5, 6, 7, …) or be in 0 ... 9, not 10"),
        ("prior", ["--images=nowhere"], "there is no image folder nowhere"),
    ],
)
def test_mistakes_get_one_line(experiment, checkpoints, pictures, tmp_path, capsys, model, options, message):
    write_mask(tmp_path / "small.png", np.s_[:4], size=16)
    write_mask(tmp_path / "black.png", np.s_[:0])
    for number, rows in enumerate((4, 0)):
        write_mask(tmp_path / "one_black" / f"00{number}.png", np.s_[:rows])
    for file in ("masks/000.png", "two/000.bmp", "two/000.png", "two/001.png"):
        write_mask(tmp_path / file, np.s_[:4])
    assert experiment("inpaint", checkpoints[model], f"--images={pictures}", *options) not in (0, None)
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(said) == 1
    assert message in said[0]
