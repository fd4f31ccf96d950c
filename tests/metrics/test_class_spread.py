import numpy as np
import torch

from gen_experiments.metrics.class_spread import ClassSpread, class_spread


def test_the_spread_is_the_trace_of_each_classes_covariance():
    source = np.random.default_rng(0)
    features, labels = source.normal(3, 2, (90, 5)), source.integers(0, 4, 90)
    labels[labels == 2] = 3
    labels[0] = 2  # a class of one image
    expected = [np.trace(np.cov(features[labels == k], rowvar=False)) if k != 2 else np.nan for k in range(4)]
    found = class_spread(torch.from_numpy(features), torch.from_numpy(labels), 5)
    np.testing.assert_allclose(found[:4].numpy(), expected, rtol=1e-9)
    assert found[4].isnan()


def test_equal_images_have_no_spread_whatever_is_rounded():
    features = torch.full((5, 3), 0.7)  # the difference of their sums comes out below 0
    assert class_spread(features, torch.zeros(5, dtype=torch.int64), 1).item() == 0


def test_batches_add_up_and_are_counted():
    features, labels = torch.randn(40, 3), torch.arange(40) % 2
    metric = ClassSpread(2, 3)
    for part in range(0, 40, 7):
        metric.update(features[part : part + 7], labels[part : part + 7])
    counts, spread = metric.compute()
    assert counts.tolist() == [20, 20]
    torch.testing.assert_close(spread, class_spread(features, labels, 2))
    metric.reset()
    metric.update(features[:2], torch.zeros(2, dtype=torch.int64))
    assert metric.compute()[0].tolist() == [2, 0]
