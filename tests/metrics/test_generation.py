import numpy as np
import pytest
import scipy.linalg
import torch
from torch import nn

import two_processes
from gen_experiments.errors import UserError
from gen_experiments.metrics.features import FeatureExtractor, InceptionFeatures
from gen_experiments.metrics.generation import FrechetDistance, frechet_distance


class Pooled(FeatureExtractor):
    """Means of the pixels of 2x2 blocks; counts how many images it saw."""

    num_features = 4
    resize = "none"
    weights_hash = "0" * 64

    def __init__(self):
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.seen = 0

    def extract(self, images):
        self.seen += len(images)
        return self.pool(images.float().mean(1)).flatten(1)


class Set:
    """An ImageSet in memory."""

    def __init__(self, images, fingerprint="f"):
        self.all, self.fingerprint = images, fingerprint

    def __len__(self):
        return len(self.all)

    def read(self, indices):
        return self.all[indices]


def pictures(count, seed, channels=1, size=8):
    source = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, channels, size, size), generator=source, dtype=torch.uint8)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GEN_EXPERIMENTS_CACHE", str(tmp_path / "cache"))


def independent(real, fake):
    """The textbook formula by numpy and scipy."""
    means, covariances = [f.mean(0) for f in (real, fake)], [np.cov(f, rowvar=False) for f in (real, fake)]
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1]).real
    return ((means[0] - means[1]) ** 2).sum() + np.trace(covariances[0] + covariances[1] - 2 * root)


def test_the_distance_is_the_textbook_formula():
    extractor = Pooled()
    real, fake = pictures(50, 0), pictures(40, 1)
    distance = FrechetDistance(extractor)
    distance.reference(Set(real), 16)
    for part in fake.split(16):
        distance.update(part)
    expected = independent(*(extractor(images).double().numpy() for images in (real, fake)))
    value = distance.compute()
    assert value.dtype == torch.float64
    assert float(value) == pytest.approx(expected, rel=1e-9)


def test_one_dimension_by_hand():
    one = torch.ones(1, dtype=torch.float64)
    value = frechet_distance(0 * one, 4 * one[None], 3 * one, 9 * one[None])
    assert float(value) == pytest.approx(3**2 + (2 - 3) ** 2)


def test_a_set_is_no_distance_from_itself():
    distance = FrechetDistance(Pooled())
    images = pictures(50, 0)
    distance.reference(Set(images), 16)
    distance.update(images)
    assert float(distance.compute()) == pytest.approx(0, abs=1e-6)


def test_the_reference_is_computed_once_and_kept_on_disk():
    extractor = Pooled()
    FrechetDistance(extractor).reference(Set(pictures(50, 0)), 16)
    assert extractor.seen == 50
    again = FrechetDistance(extractor)
    again.reference(Set(pictures(50, 0)), 16)
    assert extractor.seen == 50
    again.update(pictures(40, 1))
    first = float(again.compute())
    again.reference(Set(pictures(50, 2), fingerprint="g"), 16)
    assert extractor.seen == 50 + 40 + 50
    again.update(pictures(40, 1))
    assert float(again.compute()) != first


def test_a_damaged_cache_is_made_anew(tmp_path):
    extractor = Pooled()
    FrechetDistance(extractor).reference(Set(pictures(50, 0)), 16)
    (file,) = (tmp_path / "cache" / "statistics").iterdir()
    file.write_bytes(file.read_bytes()[:100])
    FrechetDistance(extractor).reference(Set(pictures(50, 0)), 16)
    assert extractor.seen == 100


def test_reset_keeps_the_reference():
    distance = FrechetDistance(Pooled())
    distance.reference(Set(pictures(50, 0)), 16)
    distance.update(pictures(40, 1))
    first = float(distance.compute())
    distance.reset()
    distance.update(pictures(40, 1))
    assert float(distance.compute()) == first


def test_few_samples_are_warned_about():
    distance = FrechetDistance(Pooled())
    distance.reference(Set(pictures(50, 0)), 16)
    distance.update(pictures(4, 1))
    with pytest.warns(UserWarning, match="singular covariance"):
        distance.compute()


def test_a_small_reference_is_warned_about():
    distance = FrechetDistance(Pooled())
    distance.reference(Set(pictures(4, 0)), 16)
    distance.update(pictures(40, 1))
    with pytest.warns(UserWarning, match="4 images in 4 dimensions has a singular covariance"):
        distance.compute()


def test_a_single_image_has_no_distribution():
    distance = FrechetDistance(Pooled())
    with pytest.raises(UserError, match="two reference images, not 1"):
        distance.reference(Set(pictures(1, 0)), 16)
    distance.reference(Set(pictures(50, 0)), 16)
    distance.update(pictures(1, 1))
    with pytest.raises(UserError, match="two generated images, not 1"):
        distance.compute()


def test_another_resize_is_another_reference():
    class Elsewise(Pooled):
        resize = "otherwise"

    Elsewise.__name__ = Pooled.__name__
    FrechetDistance(Pooled()).reference(Set(pictures(50, 0)), 16)
    extractor = Elsewise()
    FrechetDistance(extractor).reference(Set(pictures(50, 0)), 16)
    assert extractor.seen == 50


def test_going_back_to_a_reference_measures_the_same():
    distance = FrechetDistance(Pooled())
    values = []
    for seed in (0, 2, 0):
        distance.reference(Set(pictures(50, seed), fingerprint=str(seed)), 16)
        distance.update(pictures(40, 1))
        values.append(float(distance.compute()))
    assert values[0] == values[2] != values[1]


def distance_of_a_share(cache, shares):
    import os

    import torch.distributed as dist

    os.environ["GEN_EXPERIMENTS_CACHE"] = cache
    values = []
    for _ in range(2):  # computed, then from the cache
        distance = FrechetDistance(Pooled())
        distance.reference(Set(pictures(51, 0)), 16)
        distance.update(pictures(41, 1).split(shares)[dist.get_rank()])
        values.append(distance.compute())
    return torch.stack(values)


def test_two_processes_with_uneven_shares_measure_what_one_does(tmp_path):
    distance = FrechetDistance(Pooled())
    distance.reference(Set(pictures(51, 0)), 16)
    distance.update(pictures(41, 1))
    (tmp_path / "work").mkdir()
    results = two_processes.run(distance_of_a_share, tmp_path / "work", str(tmp_path / "shared"), [30, 11])
    for values in results:
        torch.testing.assert_close(values, distance.compute().expand(2), rtol=1e-9, atol=0)


def test_fid_is_torch_fidelitys_on_the_same_images_and_weights(inception_weights):
    import torch_fidelity
    from torch.utils.data import Dataset

    class Uint8(Dataset):
        def __init__(self, images):
            self.images = images

        def __len__(self):
            return len(self.images)

        def __getitem__(self, index):
            return self.images[index]

    # Of different contrasts, so that the covariances have a share in the distance.
    real = (pictures(12, 0, 3, 32) * torch.linspace(0.2, 1.0, 12)[:, None, None, None]).byte()
    fake = (pictures(10, 1, 3, 32) * torch.linspace(0.1, 0.8, 10)[:, None, None, None]).byte()
    distance = FrechetDistance(InceptionFeatures(str(inception_weights)))
    distance.reference(Set(real), 12)
    distance.update(fake)
    with pytest.warns(UserWarning, match="singular"):
        ours = float(distance.compute())
    theirs = torch_fidelity.calculate_metrics(
        input1=Uint8(fake),
        input2=Uint8(real),
        fid=True,
        cuda=False,
        feature_extractor_weights_path=str(inception_weights),
        verbose=False,
        save_cpu_ram=True,
        batch_size=12,
    )["frechet_inception_distance"]
    assert theirs > 1e-2
    assert ours == pytest.approx(theirs, rel=1e-5)
