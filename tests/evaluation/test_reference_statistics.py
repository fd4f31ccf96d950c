import pytest
import torch
from torch import nn

import two_processes
from gen_experiments.errors import UserError
from gen_experiments.evaluation.reference_statistics import ReferenceStatistics
from gen_experiments.metrics.features import FeatureExtractor
from gen_experiments.metrics.frechet import Moments

pytestmark = pytest.mark.usefixtures("cache")

CPU = torch.device("cpu")


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


def pictures(count, seed):
    source = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 1, 8, 8), generator=source, dtype=torch.uint8)


def expected(images):
    return Moments.of_features(Pooled()(images))


def assert_moments(found, wanted):
    torch.testing.assert_close(found.mean, wanted.mean, rtol=1e-9, atol=0)
    torch.testing.assert_close(found.covariance, wanted.covariance, rtol=1e-9, atol=1e-9)
    assert found.count == wanted.count


def test_the_reference_is_computed_once_and_kept_on_disk():
    extractor = Pooled()
    first = ReferenceStatistics(extractor).moments(Set(pictures(50, 0)), 16, CPU)
    assert extractor.seen == 50
    assert_moments(first, expected(pictures(50, 0)))
    statistics = ReferenceStatistics(extractor)
    again = statistics.moments(Set(pictures(50, 0)), 16, CPU)
    assert extractor.seen == 50
    assert torch.equal(again.mean, first.mean)
    assert torch.equal(again.covariance, first.covariance)
    assert again.count == 50
    assert_moments(statistics.moments(Set(pictures(50, 2), fingerprint="g"), 16, CPU), expected(pictures(50, 2)))
    assert extractor.seen == 100


def test_a_damaged_cache_is_made_anew(tmp_path):
    extractor = Pooled()
    ReferenceStatistics(extractor).moments(Set(pictures(50, 0)), 16, CPU)
    (file,) = (tmp_path / "cache" / "statistics").iterdir()
    file.write_bytes(file.read_bytes()[:100])
    assert_moments(ReferenceStatistics(extractor).moments(Set(pictures(50, 0)), 16, CPU), expected(pictures(50, 0)))
    assert extractor.seen == 100


def test_statistics_that_are_not_finite_are_made_anew(tmp_path):
    from safetensors.torch import load_file, save_file

    extractor = Pooled()
    ReferenceStatistics(extractor).moments(Set(pictures(50, 0)), 16, CPU)
    (file,) = (tmp_path / "cache" / "statistics").iterdir()
    tensors = load_file(file)
    tensors["covariance"][1, 2] = float("nan")
    save_file(tensors, file)
    assert_moments(ReferenceStatistics(extractor).moments(Set(pictures(50, 0)), 16, CPU), expected(pictures(50, 0)))


def test_another_resize_is_another_reference():
    class Elsewise(Pooled):
        resize = "otherwise"

    Elsewise.__name__ = Pooled.__name__
    ReferenceStatistics(Pooled()).moments(Set(pictures(50, 0)), 16, CPU)
    extractor = Elsewise()
    ReferenceStatistics(extractor).moments(Set(pictures(50, 0)), 16, CPU)
    assert extractor.seen == 50


def test_a_single_image_is_no_reference():
    with pytest.raises(UserError, match="two reference images, not 1"):
        ReferenceStatistics(Pooled()).moments(Set(pictures(1, 0)), 16, CPU)


def moments_in_two_processes(cache):
    import os

    import torch.distributed as dist

    os.environ["GEN_EXPERIMENTS_CACHE"] = cache
    found, calls = [], []
    for _ in range(2):  # computed, then from the cache
        moments = ReferenceStatistics(Pooled()).moments(Set(pictures(51, 0)), 16, CPU, lambda: calls.append(1))
        found.append((moments.mean, moments.covariance, moments.count))
        dist.barrier()  # the first process has written the file
    return found, len(calls)


@pytest.mark.long
def test_two_processes_compute_what_one_does(tmp_path):
    wanted = expected(pictures(51, 0))
    (tmp_path / "work").mkdir()
    for found, calls in two_processes.run(moments_in_two_processes, tmp_path / "work", str(tmp_path / "shared")):
        for moments in found:
            assert_moments(Moments(*moments), wanted)
        assert calls == 2
