"""Mistakes in parts of the user's own."""

import pytest

from conftest import CONFIGS, SHORT

USER_PARTS = """
from gen_experiments.losses.reconstruction import ReconstructionLoss
from gen_experiments.networks.base import Generator
from gen_experiments.quantizers.base import Quantizer

class UnfinishedLoss(ReconstructionLoss):
    pass

class UnfinishedGenerator(Generator):
    def __init__(self, image):
        super().__init__()

class TupleQuantizer(Quantizer):
    dim, codebook_size = 8, 4

    def forward(self, z):
        return z, z.argmax(dim=1), z.sum()

    def decode(self, indices):
        return indices
"""


@pytest.mark.parametrize(
    ("model", "option", "message"),
    [
        (
            "vqvae",
            "--model.reconstruction=users_parts.UnfinishedLoss",
            "UnfinishedLoss is not finished: it must define __call__",
        ),
        (
            "gan",
            "--model.generator=users_parts.UnfinishedGenerator",
            "instantiate abstract class UnfinishedGenerator",
        ),
        (
            "vqvae",
            "--model.quantizer=users_parts.TupleQuantizer",
            "TupleQuantizer.forward returned a tuple: return a gen_experiments.quantizers.base.Quantized",
        ),
    ],
)
def test_parts_of_the_users_own(mistake, tmp_path, monkeypatch, model, option, message):
    (tmp_path / "users_parts.py").write_text(USER_PARTS)
    monkeypatch.syspath_prepend(tmp_path)
    assert message in mistake("fit", f"--config={CONFIGS / model}.yaml", *SHORT, option)
