import math

import pytest
import torch

import two_processes
from gen_experiments import distributed
from gen_experiments.metrics.image_means import ImageMeans

CPU = torch.device("cpu")


def test_every_image_counts_alike():
    means = ImageMeans("loss", "mse")
    means.update(3, loss=torch.tensor(1.0), mse=torch.tensor(10.0))
    means.update(0, loss=torch.tensor(math.nan), mse=torch.tensor(math.nan))
    means.update(1, mse=torch.tensor(2.0), loss=torch.tensor(5.0))
    assert means.compute(CPU) == {"loss": pytest.approx(2.0), "mse": pytest.approx(8.0)}
    means.update(2, loss=torch.tensor(7.0), mse=torch.tensor(7.0))
    assert means.compute(CPU) == {"loss": 7.0, "mse": 7.0}
    assert math.isnan(means.compute(CPU)["loss"])


def _unequal():
    """Means of 0 … 250, of which process 0 has 126 and process 1 has 125, and of a 3 that process 1 alone has."""
    shared, one_sided = ImageMeans("loss"), ImageMeans("loss")
    own = torch.arange(251.0)[distributed.rank() :: 2]
    for batch in own.split(60):
        shared.update(len(batch), loss=batch.mean())
    if distributed.rank() == 1:
        one_sided.update(2, loss=torch.tensor(3.0))
    return shared.compute(CPU)["loss"].item(), one_sided.compute(CPU)["loss"].item()


def test_processes_with_unequal_shares_have_the_mean_over_all_images(tmp_path):
    assert two_processes.run(_unequal, tmp_path) == [(125.0, 3.0)] * 2
