import numpy as np
import pytest
import torch
from PIL import Image

from gen_experiments.data.datamodule import ImageDataModule
from gen_experiments.data.pair_folders import PairedFolders, UnpairedFolders
from gen_experiments.data.pairs import Edges, outlines
from gen_experiments.errors import UserError


def write(folder, values, size=(8, 8), suffix=".png"):
    """Pictures of one colour each: red says which side, green which picture."""
    for name, (red, green) in values.items():
        path = folder / f"{name}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, (red, green, 0)).save(path)


def write_pairs(root, count=20, **options):
    write(root / "a", {f"{'xy'[i % 2]}/{i:02d}": (10, i) for i in range(count)}, **options)
    write(root / "b", {f"{'xy'[i % 2]}/{i:02d}": (200, i) for i in range(count)}, **options)
    return str(root / "a"), str(root / "b")


def sides(data, loader):
    """The red and the green of A and of B, for every item of a loader."""
    found = []
    for batch in loader:
        moved = data.on_after_batch_transfer(batch, 0)
        pixels = [((side[:, :2, 0, 0] + 1) * 127.5).round().int() for side in (moved.source_images, moved.images)]
        labels = torch.full((len(moved.images),), -1) if moved.labels is None else moved.labels
        found.append(torch.cat([*pixels, labels[:, None]], dim=1))
    return torch.cat(found)


def test_pairs_go_by_name_with_the_labels_of_their_folders(tmp_path):
    source = PairedFolders(*write_pairs(tmp_path))
    data = ImageDataModule(source, size=8, batch_size=4, eval_batch_size=3)
    assert (data.image.channels, data.image.class_names) == (3, ("x", "y"))
    for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader()):
        red_a, green_a, red_b, green_b, label = sides(data, loader).T
        assert set(red_a.tolist()) == {10}
        assert set(red_b.tolist()) == {200}
        assert torch.equal(green_a, green_b)
        assert torch.equal(label, green_a % 2)


def test_a_class_without_pairs_makes_other_labels_and_another_key(tmp_path):
    folders = write_pairs(tmp_path)
    before = PairedFolders(*folders)
    write(tmp_path / "a", {"w/1": (10, 1)})
    after = PairedFolders(*folders)
    assert set(after.decode("train", 8).labels.tolist()) == {1, 2} != set(before.decode("train", 8).labels.tolist())
    assert after.key("train") != before.key("train")


def test_the_images_of_a_split_are_those_of_b(tmp_path):
    data = ImageDataModule(PairedFolders(*write_pairs(tmp_path)), size=8)
    images = data.split("train")
    assert images.read(np.array([0, 3])).shape == (2, 3, 8, 8)
    assert set(images.read(np.arange(len(images)))[:, 0].flatten().tolist()) == {200}


def test_shuffled_pairs_are_of_different_pictures_in_training_alone(tmp_path):
    data = ImageDataModule(PairedFolders(*write_pairs(tmp_path, 40), shuffled=True), size=8, batch_size=32)
    assert data.in_pairs
    assert not data.trains_in_pairs
    _, green_a, _, green_b, label = sides(data, data.train_dataloader()).T
    assert sorted(green_a.tolist()) == sorted(green_b.tolist())
    assert (green_a == green_b).float().mean() < 0.2
    assert set(label.tolist()) == {-1}  # none, as A and B may be of different classes
    _, green_a, _, green_b, label = sides(data, data.val_dataloader()).T
    assert torch.equal(green_a, green_b)
    assert torch.equal(label, green_a % 2)


def test_pairs_shuffled_within_classes_keep_their_labels(tmp_path):
    data = ImageDataModule(PairedFolders(*write_pairs(tmp_path, 40), shuffled="within_classes"), size=8, batch_size=32)
    assert not data.trains_in_pairs
    _, green_a, _, green_b, label = sides(data, data.train_dataloader()).T
    assert sorted(green_a.tolist()) == sorted(green_b.tolist())
    assert not (green_a == green_b).any()
    assert torch.equal(label, green_a % 2)
    assert torch.equal(label, green_b % 2)
    assert len(set((green_b - green_a).tolist())) > 5  # in a random order, not each with the next


def test_pairs_without_classes_cannot_be_shuffled_within_them(tmp_path):
    for side, red in (("a", 10), ("b", 200)):
        write(tmp_path / side, {f"{number:02d}": (red, number) for number in range(20)})
    data = ImageDataModule(PairedFolders(str(tmp_path / "a"), str(tmp_path / "b"), shuffled="within_classes"), size=8)
    with pytest.raises(UserError, match="pairs without labels have no classes to be shuffled within"):
        data.train_dataloader()


def test_both_pictures_of_a_pair_are_mirrored_together(tmp_path):
    for side in "ab":
        (tmp_path / side).mkdir()
        for number in range(40):
            pixels = np.zeros((8, 8, 3), dtype=np.uint8)
            pixels[:, :4] = 200 if side == "a" else 100
            Image.fromarray(pixels).save(tmp_path / side / f"{number}.png")
    source = PairedFolders(str(tmp_path / "a"), str(tmp_path / "b"))
    data = ImageDataModule(source, size=8, batch_size=32, flip=True)
    (batch,) = [data.on_after_batch_transfer(each, 0) for each in data.train_dataloader()]
    mirrored = [side[:, 0, 0, 0] == -1 for side in (batch.source_images, batch.images)]
    assert torch.equal(*mirrored)
    assert mirrored[0].any()
    assert not mirrored[0].all()


def test_transparent_pictures_are_laid_on_white(tmp_path):
    for side in "ab":
        (tmp_path / side).mkdir()
        for number in range(2):
            Image.new("RGBA", (4, 4), (255, 0, 0, 0)).save(tmp_path / side / f"{number}.png")
    decoded = PairedFolders(str(tmp_path / "a"), str(tmp_path / "b")).decode("train", 4)
    assert decoded.images.shape == (2, 6, 4, 4)
    assert (decoded.images == 255).all()


def test_pictures_without_a_partner_are_named(tmp_path):
    a, b = write_pairs(tmp_path)
    write(tmp_path / "a", {"x/only_here": (10, 99)})
    write(tmp_path / "b", {"y/only_there": (200, 99), "y/nor_this": (200, 98)})
    source = PairedFolders(a, b)
    assert source.passed_over() == {f"only in {a}": ["x/only_here"], f"only in {b}": ["y/nor_this", "y/only_there"]}
    assert len(source.decode("train", 8).images) == 20


def test_endings_may_differ_within_a_pair(tmp_path):
    write(tmp_path / "a", {"1": (10, 1), "2": (10, 2)})
    write(tmp_path / "b", {"1": (200, 1), "2": (200, 2)}, suffix=".bmp")
    assert len(PairedFolders(str(tmp_path / "a"), str(tmp_path / "b")).decode("train", 8).images) == 2


def test_what_cannot_be_paired_is_refused_in_one_line(tmp_path):
    a, b = str(tmp_path / "a"), str(tmp_path / "b")
    write(tmp_path / "a", {"1": (10, 1)})
    with pytest.raises(UserError, match="there is no image folder"):
        PairedFolders(a, b)
    (tmp_path / "b").mkdir()
    with pytest.raises(UserError, match="b holds no picture"):
        PairedFolders(a, b)
    write(tmp_path / "b", {"2": (200, 2)})
    with pytest.raises(UserError, match="no picture of the same name in common"):
        PairedFolders(a, b)
    write(tmp_path / "b", {"1": (200, 1)}, size=(8, 9))
    with pytest.raises(UserError, match=r"1\.png has 8x8 pixels and .*1\.png 8x9"):
        PairedFolders(a, b).decode("train", 8)
    write(tmp_path / "b", {"1": (200, 1)}, suffix=".bmp")
    with pytest.raises(UserError, match="have the same name"):
        PairedFolders(a, b)


def test_both_sides_need_the_same_splits(tmp_path):
    write(tmp_path / "a", {"train/1": (1, 1), "test/2": (1, 2)})
    write(tmp_path / "b", {"train/1": (1, 1), "val/2": (1, 2)})
    with pytest.raises(UserError, match=r"has the splits test, train and .* has train, val"):
        PairedFolders(str(tmp_path / "a"), str(tmp_path / "b"))


def test_unpaired_folders_lie_beside_each_other_and_share_no_picture_between_splits(tmp_path):
    write(tmp_path / "a", {f"{i:02d}": (10, i) for i in range(20)})
    write(tmp_path / "b", {f"z{i:02d}": (200, i) for i in range(50)})
    source = UnpairedFolders(str(tmp_path / "a"), str(tmp_path / "b"), held_out=0.2)
    data = ImageDataModule(source, size=8, batch_size=30)
    assert not data.in_pairs
    seen = {}
    for split, count in (("train", 30), ("val", 10), ("test", 10)):
        images = source.decode(split, 8).images[:, :, 0, 0]
        assert len(images) == count
        seen[split] = [set(images[:, channel].tolist()) for channel in (1, 4)]
        # The pictures of the smaller folder return as often as each other, or once more.
        assert np.ptp(np.unique(images[:, 1], return_counts=True)[1]) <= 1
    assert [len(numbers) for numbers in seen["train"]] == [12, 30]
    for side in (0, 1):
        assert sum(len(numbers[side]) for numbers in seen.values()) == (20, 50)[side]
        assert set.union(*(numbers[side] for numbers in seen.values())) == set(range((20, 50)[side]))


def test_too_few_to_hold_out_is_refused(tmp_path):
    write(tmp_path / "a", {"1": (1, 1), "2": (1, 1)})
    write(tmp_path / "b", {f"{i}": (1, 1) for i in range(30)})
    with pytest.raises(UserError, match="leaves no test pictures of 2"):
        UnpairedFolders(str(tmp_path / "a"), str(tmp_path / "b"))
    with pytest.raises(UserError, match="leaves no training pictures of 2: lower it"):
        UnpairedFolders(str(tmp_path / "a"), str(tmp_path / "b"), held_out=0.4)
    for share in (0.0, 0.5):
        with pytest.raises(UserError, match="held_out must be"):
            UnpairedFolders(str(tmp_path / "a"), str(tmp_path / "b"), held_out=share)


def test_outlines_by_hand():
    image = np.zeros((1, 1, 4, 4), dtype=np.uint8)
    image[..., 2:] = 32
    # The difference to both sides is 32 at both columns beside the step: 32 / 63.75 of the darkest line.
    row = [255, round(255 * (1 - 32 / 63.75)), round(255 * (1 - 32 / 63.75)), 255]
    assert outlines(image)[0, 0].tolist() == [row] * 4
    image[..., 2:] = 200
    assert outlines(image)[0, 0, 0].tolist() == [255, 0, 0, 255]


def test_edges_keep_what_the_digits_are():
    data = ImageDataModule(Edges(), size=16, batch_size=8)
    assert (data.image.channels, data.image.num_classes, data.source.content) == (1, 10, "handwritten digits")
    batch = data.on_after_batch_transfer(next(iter(data.train_dataloader())), 0)
    assert batch.source_images.shape == batch.images.shape == (8, 1, 16, 16)
    pixels = ((batch.images + 1) * 127.5).round().byte().numpy()
    assert torch.equal(((batch.source_images + 1) * 127.5).round().byte(), torch.from_numpy(outlines(pixels)))
