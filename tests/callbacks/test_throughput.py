"""Speed and the time of validations, by a clock that training and validation move by known seconds."""

import time

import pytest
import torch
from lightning.pytorch import LightningModule
from torch import nn
from torch.utils.data import DataLoader

from gen_experiments.callbacks.throughput import Throughput
from gen_experiments.images import Batch
from small_models import quiet_trainer


class Slow(LightningModule):
    """Two seconds a batch, four every second one, and ten a batch of validation."""

    def __init__(self, patch):
        super().__init__()
        self.weight, self.seconds = nn.Parameter(torch.ones(())), 1000.0
        patch.setattr(time, "perf_counter", lambda: self.seconds)

    def training_step(self, batch, batch_idx):
        self.seconds += 2 + batch_idx % 2 * 2
        return self.weight * batch.images.mean()

    def validation_step(self, batch, batch_idx):
        self.seconds += 10

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.mark.parametrize(("batches_of_step", "steps", "speed"), [(1, 6, 4 / 4), (2, 8, 8 / 6)])
def test_speed_leaves_validations_out_and_the_first_validation_is_told_in_iterations(
    tmp_path, monkeypatch, capsys, batches_of_step, steps, speed
):
    model = Slow(monkeypatch)
    options = {"log_every_n_steps": 1, "val_check_interval": 3, "num_sanity_val_steps": 0}
    trainer = quiet_trainer(Throughput(), steps, tmp_path, accumulate_grad_batches=batches_of_step, **options)
    batches = [Batch(torch.ones(4, 1, 2, 2), None)] * 9
    trainer.fit(model, DataLoader(batches, batch_size=None), DataLoader(batches[:1], batch_size=None))
    assert float(trainer.callback_metrics["images_per_second"]) == pytest.approx(speed)
    told = [line for line in capsys.readouterr().out.splitlines() if "validation takes" in line]
    assert told == ["a validation takes 10.0 s, as long as 4 iterations"]
