"""Archives of features and statistics name the extractor that made them."""

import numpy as np
import pytest
import torch

from gen_experiments.errors import UserError
from gen_experiments.evaluation.archives import (
    has_statistics,
    read_features,
    read_statistics,
    write_features,
    write_statistics,
)
from gen_experiments.metrics.frechet import Moments

FEATURES = torch.randn(9, 4, generator=torch.Generator().manual_seed(0))


def test_what_one_extractor_made_is_refused_by_another_as_wide(tmp_path):
    write_features(tmp_path / "features.npz", FEATURES, "First-1")
    write_statistics(tmp_path / "statistics.npz", Moments.of_features(FEATURES), "First-1")
    assert torch.equal(read_features(tmp_path / "features.npz", 4, "First-1"), FEATURES)
    assert read_statistics(tmp_path / "statistics.npz", 4, "First-1").count == 9
    for read, name in ((read_features, "features"), (read_statistics, "statistics")):
        with pytest.raises(UserError, match="by First-1, not by Second-1"):
            read(tmp_path / f"{name}.npz", 4, "Second-1")


def test_half_of_the_statistics_are_none(tmp_path):
    arrays = {"arr_0": np.zeros((2, 8, 8, 3), np.uint8), "mu": np.zeros(4), "sigma": np.eye(4)}
    np.savez(tmp_path / "whole.npz", **arrays)
    np.savez(tmp_path / "half.npz", **{name: array for name, array in arrays.items() if name != "sigma"})
    np.savez(tmp_path / "alone.npz", mu=arrays["mu"], sigma=arrays["sigma"])  # as clean-fid and EDM write them
    assert has_statistics(tmp_path / "whole.npz")
    assert has_statistics(tmp_path / "alone.npz")
    assert not has_statistics(tmp_path / "half.npz")
