"""Grids of images: as one image and as files, with pages and names."""

import numpy as np
import pytest
import torch
from PIL import Image

from gen_experiments import grids
from gen_experiments.errors import UserError
from gen_experiments.grids import grid, grid_pages, page_names, save_grid, with_names


def numbered(count, size=10):
    """Images of one level each, their number."""
    return torch.arange(count, dtype=torch.uint8).reshape(-1, 1, 1, 1).expand(-1, 1, size, size).contiguous()


def levels(page, size=10):
    """The levels of a page's images, row by row; 128 is the ground."""
    return page[0, 2 :: size + 2, 2 :: size + 2].tolist()


def test_a_grid_lays_images_out_in_rows():
    images = torch.arange(1, 6, dtype=torch.uint8).reshape(5, 1, 1, 1).expand(5, 1, 2, 2)
    sheet = grid(images, columns=3, padding=1)
    assert sheet.shape == (1, 7, 10)
    assert sheet[0, 1, [1, 4, 7]].tolist() == [1, 2, 3]
    assert sheet[0, 4, [1, 4, 7]].tolist() == [4, 5, 128]
    assert (sheet[0, 0] == 128).all()


def test_a_grid_is_square_by_default():
    assert grid(torch.zeros(9, 3, 4, 4, dtype=torch.uint8), padding=0).shape == (3, 12, 12)


def test_what_fits_is_one_page(tmp_path):
    images = numbered(7)
    (path,) = save_grid(images, tmp_path / "a.png", 3)
    assert np.array_equal(np.asarray(Image.open(path)), grid(images, 3)[0].numpy())
    assert page_names([path]) == str(tmp_path / "a.png")


def test_wide_and_high_sheets_are_cut_into_pages(tmp_path, monkeypatch):
    monkeypatch.setattr(grids, "MAX_PIXELS", 40)  # room for three images
    paths = save_grid(numbered(19), tmp_path / "a.png", 5)
    assert [path.name for path in paths] == ["a.png", "a_2.png", "a_3.png", "a_4.png"]
    assert page_names(paths) == f"{tmp_path / 'a.png'} … {tmp_path / 'a_4.png'} (4 pages)"
    pages = [torch.from_numpy(np.asarray(Image.open(path)).copy())[None] for path in paths]
    assert [levels(page) for page in pages] == [
        [[0, 1, 2], [5, 6, 7], [10, 11, 12]],
        [[3, 4], [8, 9], [13, 14]],
        [[15, 16, 17]],
        [[18, 128]],
    ]


def test_no_page_is_wider_than_4096_pixels():
    widths = [page.shape[2] for page in grid_pages(numbered(250, 32), 250)]
    assert widths == [120 * 34 + 2, 120 * 34 + 2, 10 * 34 + 2]
    assert max(widths) <= 4096


def test_rows_that_belong_together_stay_together(monkeypatch):
    monkeypatch.setattr(grids, "MAX_PIXELS", 40)
    assert [levels(page) for page in grid_pages(numbered(4), 1, together=2)] == [[[0], [1]], [[2], [3]]]


def test_a_page_holds_an_image_however_large_it_is(monkeypatch):
    monkeypatch.setattr(grids, "MAX_PIXELS", 5)
    assert [levels(page) for page in grid_pages(numbered(2), 1)] == [[[0]], [[1]]]


def test_a_grid_without_columns_is_one_page_wide(monkeypatch):
    monkeypatch.setattr(grids, "MAX_PIXELS", 40)
    assert [levels(page) for page in grid_pages(numbered(10))] == [[[0, 1, 2], [3, 4, 5], [6, 7, 8]], [[9, 128, 128]]]


def test_too_many_images_are_refused():
    with pytest.raises(UserError, match="a grid has room for 16384 images, not 16385"):
        grid_pages(torch.zeros(2**14 + 1, 1, 1, 1, dtype=torch.uint8))


def drawn(strip):
    """Which rows of (C, height, width) hold text, in runs of first and last."""
    rows = ((strip[0] != 128).any(dim=1)).nonzero()[:, 0].tolist()
    starts = [row for row in rows if row - 1 not in rows]
    return [(start, next(row for row in rows if row >= start and row + 1 not in rows)) for start in starts]


def test_names_stand_beside_the_middle_of_their_rows():
    sheet = grid(numbered(3, 30), 1)
    named = with_names(sheet, ["I", "", "I"], 32)
    assert torch.equal(named[..., : sheet.shape[2]], sheet)
    (first, second) = drawn(named[..., sheet.shape[2] :])
    for run, middle in ((first, 17), (second, 17 + 64)):
        assert abs(sum(run) / 2 - middle) <= 2
        assert run[1] - run[0] > 5


def test_names_of_columns_stand_below_them():
    images = numbered(3, 30).expand(-1, 3, -1, -1)
    (page,) = grid_pages(images, 3, column_names=["I", "", "I"])
    sheet = grid(images, 3)
    assert torch.equal(page[:, : sheet.shape[1]], sheet)
    below = page[:, sheet.shape[1] :].transpose(1, 2)
    (first, second) = drawn(below)
    assert abs(sum(first) / 2 - 17) <= 2
    assert abs(sum(second) / 2 - 81) <= 2


def test_each_page_has_its_own_names(monkeypatch):
    monkeypatch.setattr(grids, "MAX_PIXELS", 70)
    pages = grid_pages(numbered(4, 30), 1, row_names=["", "", "", "I"])
    assert [len(drawn(page[..., 34:])) for page in pages] == [0, 1]
    columns = grid_pages(numbered(4, 30), 4, column_names=["I", "", "", ""])
    assert [len(drawn(page[:, 34:].transpose(1, 2))) for page in columns] == [1, 0]


def test_any_text_can_be_drawn_and_none_on_tiny_images():
    sheet = grid(numbered(1, 30), 1)
    for name in ("猫", "\udcff", "a" * 1000, "naïve\n"):
        named = with_names(sheet, [name], 32)
        assert sheet.shape[2] < named.shape[2] < 300
    assert with_names(grid(numbered(1, 2), 1), ["I"], 4).shape == (1, 6, 6)
