import numpy as np
import pytest
import torch
from damaged_photos import FLAT, SEEDS, ids, photos
from test_pairs import sides, write_pairs

from gen_experiments import randomness
from gen_experiments.checkpoints.arguments import arguments_of
from gen_experiments.data.damage import OneOf, damage_images
from gen_experiments.data.damage_parts import (
    Blur,
    DownScaling,
    GaussianNoise,
    Grey,
    Mask,
    MissingLines,
    Scratches,
    ShotNoise,
)
from gen_experiments.data.datamodule import ImageDataModule
from gen_experiments.data.jpeg import JPEG
from gen_experiments.data.pair_folders import PairedFolders
from gen_experiments.errors import UserError

PARTS = [
    GaussianNoise(),
    ShotNoise(),
    Blur(),
    DownScaling([2, 4]),
    Mask(),
    MissingLines(),
    Scratches(),
    Grey(),
    JPEG(),
    OneOf([GaussianNoise(), Mask()]),
]


def test_the_hash_is_splitmix64():
    """The first outputs for the seed 1234567, as published with the algorithm."""
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    uniform = randomness.uniform_of(torch.tensor([1234567]), 4)[0]
    assert uniform.tolist() == [(value >> 40) / 2**24 for value in published]


def test_numbers_are_uniform_and_normal_and_rows_are_independent():
    seeds = randomness.seeds_of(torch.arange(200), 3)
    uniform, normal = randomness.uniform_of(seeds, 500), randomness.normal_of(seeds, 500)
    assert 0 <= uniform.min() < 0.001 < 0.999 < uniform.max() < 1
    assert np.histogram(uniform, 10)[0] == pytest.approx(10_000, rel=0.05)
    assert float(normal.mean()) == pytest.approx(0, abs=0.01)
    assert float(normal.std()) == pytest.approx(1, abs=0.01)
    correlation = torch.corrcoef(normal)
    assert (correlation - torch.eye(200)).abs().max() < 0.25
    # Seeds of other keys are others.
    assert not set(seeds.tolist()) & set(randomness.seeds_of(torch.arange(200), 4).tolist())


@pytest.mark.parametrize("part", PARTS, ids=ids)
def test_an_image_is_damaged_by_its_own_seed_alone(part):
    images = photos(8)
    whole = damage_images(images, [part], SEEDS[:8])
    assert whole.shape == images.shape
    assert whole.min() >= -1
    assert whole.max() <= 1
    assert not torch.equal(whole, images)
    order = torch.tensor([5, 2, 7])
    torch.testing.assert_close(damage_images(images[order], [part], SEEDS[order]), whole[order], rtol=0, atol=1e-6)


def test_a_kind_at_its_ends():
    mixed = OneOf([GaussianNoise((0.1, 0.5)), DownScaling([2, 4, 4]), Mask((0.2, 0.2), fill=0.5), Grey()])
    described = [(type(kind), arguments_of(kind)) for kind in mixed.fixed()]
    assert described == [
        (GaussianNoise, {"deviation": [0.1, 0.1]}),
        (GaussianNoise, {"deviation": [0.5, 0.5]}),
        (DownScaling, {"factors": [2]}),
        (DownScaling, {"factors": [4]}),
        (Mask, {"share": [0.2, 0.2], "fill": 0.5}),
        (Grey, {}),
    ]
    for part in PARTS:
        assert all(damage_images(photos(), [kind], SEEDS[:4]).shape == (4, 3, 24, 24) for kind in part.fixed())


def test_each_image_goes_through_one_of_several():
    made = OneOf([Mask((0.2, 0.2), fill=0.25), Grey(), MissingLines((0.5, 0.5))])(FLAT + 0.5, SEEDS)
    masked, lines = (made == 0.25).flatten(1).any(1), (made == -1).flatten(1).any(1)
    assert not (masked & lines).any()
    assert 10 < int(masked.sum()) < 35
    assert 10 < int(lines.sum()) < 35


def test_training_draws_anew_in_each_epoch_and_validation_never():
    def epochs(seed):
        data = ImageDataModule(size=8, batch_size=1437, damage=[GaussianNoise((0.2, 0.2))])
        loader = data.train_dataloader()
        loader.seed = seed
        damages = []
        for _ in range(2):
            (batch,) = [data.on_after_batch_transfer(each, 0) for each in loader]
            damages.append(batch.source_images[batch.indices.argsort()])  # all training images, in their order
        return damages, [data.on_after_batch_transfer(each, 0).source_images for each in data.val_dataloader()]

    (first, second), held = epochs(0)
    (again, _), held_again = epochs(0)
    (other, _), held_other = epochs(1)
    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    assert not torch.equal(first, other)
    assert torch.equal(held[0], held_again[0])
    assert torch.equal(held[0], held_other[0])


def test_data_without_damage_has_no_sources():
    data = ImageDataModule(size=8, batch_size=16)
    assert data.on_after_batch_transfer(next(iter(data.train_dataloader())), 0).source_images is None
    assert not data.has_source_images
    damaged = ImageDataModule(size=8, damage=[Grey()])
    assert damaged.has_source_images
    assert damaged.in_pairs


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: GaussianNoise((0.5, 0.1)), "must be .least, most."),
        (lambda: ShotNoise((0.0, 1.0)), "photons must be > 0"),
        (lambda: Mask((0.1, 1.0)), "share must be in"),
        (lambda: MissingLines((0.1, 1.0)), "share must be in"),
        (lambda: JPEG((0.0, 50.0)), "quality must be in"),
        (lambda: DownScaling([]), "at least one of factors"),
        (lambda: DownScaling([0]), "factors must be"),
        (lambda: OneOf([]), "at least one kind"),
    ],
)
def test_damage_that_makes_no_sense_is_refused(build, said):
    with pytest.raises(UserError, match=said):
        build()


def test_the_first_picture_of_a_pair_is_damaged(tmp_path):
    damage = [GaussianNoise((0.0, 0.0))]
    data = ImageDataModule(PairedFolders(*write_pairs(tmp_path)), size=8, batch_size=4, damage=damage)
    for loader in (data.train_dataloader(), data.val_dataloader()):
        red_a, _, red_b, *_ = sides(data, loader).T
        assert (set(red_a.tolist()), set(red_b.tolist())) == ({10}, {200})
