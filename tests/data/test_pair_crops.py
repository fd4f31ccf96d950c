"""Random crops of pairs: a pixel of A says where it comes from, and one of B is 255 less that."""

import itertools

import numpy as np
import pytest
import torch
from PIL import Image

from gen_experiments.data.datamodule import ImageDataModule
from gen_experiments.data.pair_folders import PairedFolders, UnpairedFolders

HEIGHT, WIDTH, COUNT, STEP = 40, 60, 20, 4
SIZE, EACH = 20, 16


def write(folder, side, factor=1, count=COUNT):
    """Pictures whose red is the row and whose green the column, both 4 times, and whose blue is the number."""
    rows, columns = STEP * np.mgrid[:HEIGHT, :WIDTH]
    folder.mkdir()
    for number in range(count):
        pixels = np.stack([rows, columns, np.full_like(rows, 10 * number)], 2).astype(np.uint8)
        pixels = pixels if side == "a" else 255 - pixels
        Image.fromarray(pixels).resize((factor * WIDTH, factor * HEIGHT), 2).save(folder / f"{number:02d}.png")
    return str(folder)


def module(source, **options):
    options = {"size": SIZE, "batch_size": EACH, "val_size": 2, "test_size": 2, "workers": 1} | options
    return ImageDataModule(source, crop="random", crop_scale=(0.3, 0.9), **options)


@pytest.fixture(params=[1, 2], ids=["of one size", "B twice as large"])
def folders(request, tmp_path):
    return write(tmp_path / "a", "a"), write(tmp_path / "b", "b", request.param)


def seen(loader, count):
    """The A and B of so many batches as the A that they come from, (images, C, H, W) each, and their numbers."""
    batches = list(itertools.islice(itertools.chain.from_iterable(itertools.repeat(loader)), count))
    first, second = torch.cat([batch.images for batch in batches]).double().chunk(2, dim=1)
    return first, 255 - second, torch.cat([batch.indices for batch in batches])


def corners(images):
    """Where the first pixel of each image comes from, and how far it is to the last, in pixels: (images, 4)."""
    where = images[:, :2] / STEP
    return torch.cat([where[:, :, 0, 0], where[:, :, -1, -1] - where[:, :, 0, 0]], dim=1)


def test_both_pictures_of_a_pair_are_cropped_alike_and_no_two_pairs_or_epochs(folders):
    data = module(PairedFolders(*folders))
    a, b, numbers = seen(data.train_dataloader(), 3)
    # Half a pixel of the larger picture lies between the middles of what is interpolated.
    assert (a - b)[:, :2].abs().max() <= STEP / 2 + 1
    assert torch.equal(a[:, 2], b[:, 2])
    places = corners(a)
    pairs_and_epochs = {tuple(place) for place in places.round().tolist()}
    assert len(pairs_and_epochs) > 0.9 * 3 * EACH
    for number in range(EACH):
        assert len({tuple(place) for place in places[numbers == number].round().tolist()}) == 3
    # The whole of the picture is used, and parts of all sizes: of the largest square of 40 x 40 ones of 22 to 38.
    assert places[:, 0].max() > 10
    assert places[:, 1].max() > 25
    sides = places[:, 2] * SIZE / (SIZE - 1)
    assert sides.min() < 26
    assert sides.max() > 34
    assert torch.allclose(places[:, 2], places[:, 3], atol=1)


def test_what_is_compared_is_the_middle_of_both(folders):
    data = module(PairedFolders(*folders))
    plain = ImageDataModule(PairedFolders(*folders), size=SIZE, batch_size=EACH, val_size=2, test_size=2)
    assert data.facts() == plain.facts()
    for loader in ("val_dataloader", "test_dataloader"):
        mine, theirs = (next(iter(getattr(each, loader)())) for each in (data, plain))
        assert torch.equal(mine.images, theirs.images)
    assert torch.equal(data.source_images("train", np.arange(4)), plain.source_images("train", np.arange(4)))


def test_a_seed_draws_its_own_parts_by_any_number_of_threads_and_from_any_batch_on(folders, monkeypatch):
    def parts(seed, **options):
        monkeypatch.setenv("PL_GLOBAL_SEED", str(seed))
        return module(PairedFolders(*folders), batch_size=5, **options).train_dataloader()

    whole = seen(parts(1), 7)
    assert all(map(torch.equal, seen(parts(1, workers=3), 7), whole))
    before, after = parts(1), parts(1, workers=3)
    seen(before, 2)
    after.load_state_dict(before.state_dict())
    assert all(torch.equal(mine, theirs[10:]) for mine, theirs in zip(seen(after, 5), whole, strict=True))
    a, _, numbers = seen(parts(2), 7)
    of_each = [corners(images)[order.argsort(stable=True)] for images, order in ((whole[0], whole[2]), (a, numbers))]
    assert (of_each[0] - of_each[1]).abs().amax(1).min() > 0


def test_shuffled_pairs_are_cropped_alike_too(folders):
    data = module(PairedFolders(*folders, shuffled=True))
    a, b, _ = seen(data.train_dataloader(), 1)
    assert (a - b)[:, :2].abs().max() <= STEP / 2 + 1
    assert len({tuple(place) for place in corners(a).round().tolist()}) > EACH / 2
    # Of which pictures they are is what it is without crops.
    plain = ImageDataModule(data.source, size=SIZE, batch_size=EACH, val_size=2, test_size=2)
    whose, expected = (
        sorted(map(tuple, torch.stack([side[:, 2, 0, 0] for side in (first, second)], 1).tolist()))
        for first, second, _ in ((a, b, None), seen(plain.train_dataloader(), 1))
    )
    assert whose == expected
    assert any(first != second for first, second in whose)


def test_pictures_of_two_folders_are_cropped_beside_each_other(tmp_path):
    folders = write(tmp_path / "a", "a"), write(tmp_path / "b", "b", count=12)
    data = module(UnpairedFolders(*folders), batch_size=8)
    a, b, _ = seen(data.train_dataloader(), 2)
    assert (a - b)[:, :2].abs().max() <= 1
    assert len({tuple(place) for place in corners(a).round().tolist()}) > EACH / 2
    trained = [set(data.split("train").read(np.arange(16))[:, 2, 0, 0].tolist()), set((255 - b)[:, 2, 0, 0].tolist())]
    assert trained[1] <= trained[0]


def test_a_run_says_that_its_pairs_are_cropped_at_random(folders, capsys):
    module(PairedFolders(*folders)).setup("fit")
    assert (
        "training pixels: cropped at random to 0.3 ... 0.9 of the largest area, decoded as they are read, by 1 thread"
        in (capsys.readouterr().out)
    )
