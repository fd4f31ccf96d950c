import numpy as np
import pytest
import scipy.linalg
import torch

import two_processes
from gen_experiments.errors import UserError
from gen_experiments.metrics.features import InceptionFeatures
from gen_experiments.metrics.frechet import (
    FeatureSums,
    Moments,
    frechet_distance,
    warn_of_few,
)


def features(count, seed, dim=4):
    source = torch.Generator().manual_seed(seed)
    rows = torch.randn(count, dim, generator=source) @ torch.randn(dim, dim, generator=source)
    return rows + torch.randn(dim, generator=source)


def summed(*parts):
    sums = FeatureSums(parts[0].shape[1])
    for part in parts:
        sums.update(part)
    return sums.moments()


def textbook(real, fake):
    """The formula by numpy and scipy."""
    real, fake = real.double().numpy(), fake.double().numpy()
    covariances = [np.cov(f, rowvar=False) for f in (real, fake)]
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1]).real
    return ((real.mean(0) - fake.mean(0)) ** 2).sum() + np.trace(covariances[0] + covariances[1] - 2 * root)


def test_the_distance_is_the_textbook_formula():
    real, fake = features(50, 0), features(40, 1)
    value = frechet_distance(summed(*real.split(16)), summed(*fake.split(16)))
    assert value.dtype == torch.float64
    assert float(value) == pytest.approx(textbook(real, fake), rel=1e-9)
    assert float(frechet_distance(Moments.of_features(real), Moments.of_features(fake))) == pytest.approx(
        float(value), rel=1e-9
    )


def test_one_dimension_by_hand():
    one = torch.ones(1, dtype=torch.float64)
    value = frechet_distance(Moments(0 * one, 4 * one[None]), Moments(3 * one, 9 * one[None]))
    assert float(value) == pytest.approx(3**2 + (2 - 3) ** 2)


def test_sums_of_one_dimension():
    moments = summed(torch.tensor([[1.0], [2.0], [6.0]]))
    assert moments.mean.tolist() == [3.0]
    assert moments.covariance.tolist() == [[7.0]]


def test_a_set_is_no_distance_from_itself():
    moments = Moments.of_features(features(50, 0))
    assert float(frechet_distance(moments, moments)) == pytest.approx(0, abs=1e-6)


def exact(dim, ranks, seed=0):
    """Two covariances of given ranks with common eigenvectors, and the trace of the root of their product."""
    source = np.random.default_rng(seed)
    vectors = np.linalg.qr(source.normal(size=(dim, dim)))[0]
    values = [np.where(np.arange(dim) < rank, source.uniform(0.01, 5, dim), 0) for rank in ranks]
    covariances = [torch.from_numpy(vectors * each @ vectors.T) for each in values]
    return [(each + each.T) / 2 for each in covariances], np.sqrt(values[0] * values[1]).sum()


@pytest.mark.parametrize("ranks", [(120, 120), (120, 30), (30, 120), (30, 40), (0, 120), (120, 0), (119, 119)])
def test_covariances_of_any_rank(ranks):
    (first, second), root = exact(120, ranks)
    none = torch.zeros(120, dtype=torch.float64)
    expected = float(first.trace() + second.trace()) - 2 * root
    assert float(frechet_distance(Moments(none, first), Moments(none, second))) == pytest.approx(expected, rel=1e-6)


def test_what_is_not_finite_has_no_distance():
    good, bad = Moments.of_features(features(50, 0)), Moments.of_features(features(50, 1))
    bad.covariance[0, 1] = bad.covariance[1, 0] = float("nan")
    for sides in ((good, bad), (bad, good)):
        assert frechet_distance(*sides).isnan()


def test_sums_start_anew_after_a_reset():
    sums = FeatureSums(4)
    sums.update(features(50, 0))
    sums.reset()
    sums.update(features(40, 1))
    torch.testing.assert_close(sums.moments().mean, features(40, 1).double().mean(0))


@pytest.mark.parametrize("counts", [(4, 50), (50, 4)])
def test_few_images_are_warned_about(counts):
    first, second = (Moments.of_features(features(count, 0)) for count in counts)
    with pytest.warns(UserWarning, match="4 images in 4 dimensions has a singular covariance"):
        warn_of_few(first, second)


def test_enough_images_are_not_warned_about(recwarn):
    warn_of_few(Moments.of_features(features(5, 0)), Moments.of_features(features(5, 1)))
    assert not recwarn


def test_a_single_image_has_no_distribution():
    with pytest.raises(UserError, match="two images of each kind, not 1"):
        summed(features(1, 0))
    with pytest.raises(UserError, match="two images of each kind, not 1"):
        Moments.of_features(features(1, 0))


def moments_of_a_share(shares):
    import torch.distributed as dist

    moments = summed(features(41, 1).split(shares)[dist.get_rank()])
    return moments.mean, moments.covariance


def test_two_processes_with_uneven_shares_sum_what_one_does(tmp_path):
    expected = Moments.of_features(features(41, 1))
    for mean, covariance in two_processes.run(moments_of_a_share, tmp_path, [30, 11]):
        torch.testing.assert_close(mean, expected.mean, rtol=1e-9, atol=0)
        torch.testing.assert_close(covariance, expected.covariance, rtol=1e-9, atol=1e-12)


@pytest.mark.long  # the command `evaluate` is compared with torch-fidelity every day
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

    def pictures(count, seed):
        source = torch.Generator().manual_seed(seed)
        return torch.randint(0, 256, (count, 3, 32, 32), generator=source, dtype=torch.uint8)

    # Of different contrasts, so that the covariances have a share in the distance.
    real = (pictures(12, 0) * torch.linspace(0.2, 1.0, 12)[:, None, None, None]).byte()
    fake = (pictures(10, 1) * torch.linspace(0.1, 0.8, 10)[:, None, None, None]).byte()
    extractor = InceptionFeatures(str(inception_weights))
    by_moments = float(frechet_distance(*(Moments.of_features(extractor(images)) for images in (real, fake))))
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
    assert by_moments == pytest.approx(theirs, rel=1e-5)


def test_the_covariance_of_all_there_is_is_divided_by_n():
    rows = features(9, 0)
    found = Moments.of_features(rows).of_all()
    torch.testing.assert_close(found.covariance, torch.from_numpy(np.cov(rows.double().numpy(), rowvar=False, ddof=0)))
    with pytest.raises(UserError, match="count"):
        Moments(found.mean, found.covariance).of_all()
