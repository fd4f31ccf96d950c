import copy
import math
import re

import pytest
import torch
import torch.distributed as dist
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader

import two_processes
from gen_experiments.callbacks.divergence import StopOnDivergence
from gen_experiments.errors import UserError


class Scripted(LightningModule):
    """Trains a line while it reports the scores and the discriminator's accuracies it is told to report.

    A validation follows every second of its iterations, each of as many images as it is told to say.
    """

    def __init__(self, scores=(), accuracies=(), images=4):
        super().__init__()
        torch.manual_seed(0)
        self.automatic_optimization = False
        self.scores, self.accuracies, self.images = list(scores), list(accuracies), images
        self.line = torch.nn.Linear(2, 1)
        self.images_seen = 0
        self.rates, self.weights = [], []

    def configure_optimizers(self):
        return torch.optim.Adam(self.line.parameters(), lr=0.1)

    def on_train_batch_start(self, batch, batch_idx):
        self.optimizers().param_groups[0]["lr"] = 0.1
        self.weights.append(copy.deepcopy(self.state_dict()))
        self.images_seen += self.images

    def training_step(self, batch, batch_idx):
        optimizer = self.optimizers()
        optimizer.zero_grad()
        self.manual_backward(self.line(batch).square().mean())
        optimizer.step()
        self.rates.append(optimizer.param_groups[0]["lr"])
        if self.accuracies:
            self.log("train/sign_accuracy", self.accuracies[self.global_step - 1])

    def validation_step(self, batch, batch_idx):
        if self.scores:
            score = float(self.scores[self.global_step // 2 - 1])
            self.log_dict({"val/fid": score, "val/other": -score})


def train(model, tmp_path, *callbacks, steps=12, every=1, sanity=0, **options):
    keepers = [
        ModelCheckpoint(tmp_path, filename=name, monitor=f"val/{name}", enable_version_counter=False)
        for name in ("other", "fid")
    ]
    trainer = Trainer(
        max_steps=steps,
        accelerator="cpu",
        logger=False,
        callbacks=[*callbacks, *(keepers if model.scores else [])],
        log_every_n_steps=every,
        val_check_interval=2,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=sanity,
        enable_checkpointing=bool(model.scores),
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    loader = DataLoader(torch.randn(8, 2, generator=torch.Generator().manual_seed(1)), batch_size=4)
    trainer.fit(model, loader, loader, **options)
    return trainer


def test_a_score_that_stays_far_worse_than_its_best_ends_the_run(tmp_path, capsys):
    trainer = train(Scripted(scores=[10, 4, 9, 7, 9, 9]), tmp_path, StopOnDivergence(patience=2))
    assert trainer.global_step == 12  # one outlier, then two: the last validation is the sixth
    assert "val/fid is 9 and was 4 at its best; training ends" in capsys.readouterr().out
    trainer = train(Scripted(scores=[10, 4, 9, math.nan, 1, 1]), tmp_path / "other", StopOnDivergence(patience=2))
    assert trainer.global_step == 8


def test_a_score_that_wavers_within_the_factor_ends_nothing(tmp_path, capsys):
    trainer = train(Scripted(scores=[10, 4, 8, 8, 9, 8]), tmp_path, StopOnDivergence(patience=2))
    assert trainer.global_step == 12
    assert "diverged" not in capsys.readouterr().out


# Twice as bad as the best, by hand: beyond 2 · 4, 20 / 2, −4 / 2 and 2 · −2. There is a validation every two steps.
@pytest.mark.parametrize(
    ("mode", "scores", "steps"),
    [
        ("min", [4, 7.9, 7.9, 8, 8, 8], 12),
        ("min", [4, 8.1, 8.1, 4, 4, 4], 6),
        ("max", [20, 10.1, 10.1, 10, 10, 10], 12),
        ("max", [20, 9.9, 9.9, 20, 20, 20], 6),
        ("min", [-4, -4, -4, -2.1, -2.1, -5], 12),
        ("min", [-4, -1.9, -1.9, -4, -4, -4], 6),
        ("min", [-4, 1, 1, -4, -4, -4], 6),
        ("max", [-2, -2, -2, -3.9, -3.9, -1], 12),
        ("max", [-2, -4.1, -4.1, -2, -2, -2], 6),
        ("max", [-2, 5, 5, 4, 2.6, 5], 12),
    ],
)
def test_the_factor_of_scores_of_both_signs(tmp_path, capsys, mode, scores, steps):
    assert train(Scripted(scores=scores), tmp_path, StopOnDivergence(mode=mode)).global_step == steps
    best = f"was {scores[0]:g} at its best"
    assert (best in capsys.readouterr().out) == (steps == 6)


@pytest.mark.parametrize("accuracy", [0.95, 1.0])
def test_a_discriminator_that_stays_perfect_ends_the_run(tmp_path, capsys, accuracy):
    accuracies = [1.0, 1.0, 1.0, 0.9, *[1.0] * 8]
    trainer = train(Scripted(accuracies=accuracies), tmp_path, StopOnDivergence(images=16, accuracy=accuracy))
    # Perfect from the fifth iteration on, and 16 images later still.
    assert trainer.global_step == 9
    assert "judged 100.0% of the images rightly for 16 images; training ends" in capsys.readouterr().out


def test_a_discriminator_is_watched_only_where_its_accuracy_is_logged(tmp_path):
    # Between two logged iterations the last value stands.
    trainer = train(Scripted(accuracies=[1.0] * 12), tmp_path, StopOnDivergence(images=16), every=4)
    assert trainer.global_step == 8


def test_by_default_a_discriminator_is_perfect_over_200_000_images_at_more_than_999_in_1000(tmp_path):
    model = Scripted(accuracies=[0.9985, *[0.9995] * 11], images=50_000)
    assert train(model, tmp_path, StopOnDivergence()).global_step == 6


def test_only_validations_of_a_training_are_compared(tmp_path, capsys):
    model = Scripted(scores=[10, 12, 10, 12, 10, 1])  # a sanity check sees the last one, before any iteration
    watch = StopOnDivergence(patience=1)
    trainer = train(model, tmp_path, watch, steps=10, sanity=1)
    assert trainer.global_step == 10
    model.scores = [99] * 6
    trainer.validate(model, DataLoader(torch.randn(4, 2), batch_size=4), verbose=False)
    assert "diverged" not in capsys.readouterr().out


def _steps_of_a_process(folder):
    rank = dist.get_rank()
    accuracies = [1.0, 1.0, 1.0, 0.9 if rank == 1 else 1.0, *[1.0] * 8]
    return train(Scripted(accuracies=accuracies), folder / str(rank), StopOnDivergence(images=16)).global_step


@pytest.mark.long
def test_processes_that_see_other_images_end_together(tmp_path):
    # Alone, the first process would have ended after its fifth iteration, and waited for the second for ever.
    assert two_processes.run(_steps_of_a_process, tmp_path, tmp_path) == [9, 9]


def test_restoring_goes_back_to_the_best_weights_more_slowly(tmp_path, capsys):
    model = Scripted(scores=[4, 6, 9, 9, 9, 9])
    watch = StopOnDivergence(patience=1, restore=True, rate=0.5, restores=2)
    trainer = train(model, tmp_path, watch)
    best = model.weights[2]  # what the first validation judged; the other checkpoint is that of the second one
    for start in (6, 8):
        assert all(torch.equal(model.weights[start][name], best[name]) for name in best)
    assert model.rates == pytest.approx([0.1] * 6 + [0.05] * 2 + [0.025] * 2)
    # The third divergence is one too many.
    assert trainer.global_step == 10
    message = capsys.readouterr().out
    assert re.findall(r"back to .*, with the learning rates times (.*)", message) == ["0.5", "0.25"]
    assert message.count("training ends") == 1


def test_a_resumed_run_remembers_what_was_seen(tmp_path):
    watch = StopOnDivergence(patience=2, restore=True, rate=0.5, restores=1)
    # The return after six iterations of 4 images begins both counts anew: the seventh was perfect, the eighth bad.
    train(Scripted(scores=[4, 9, 9, 9], accuracies=[1.0] * 8), tmp_path, watch, steps=8)
    other = StopOnDivergence()
    other.load_state_dict(copy.deepcopy(watch.state_dict()))
    assert other.state_dict() == {"best": 4.0, "worse": 1, "perfect_since": 28, "restored": 1}


@pytest.mark.parametrize("options", [{"factor": 1.0}, {"patience": 0}, {"rate": 0.0}, {"images": 0}])
def test_impossible_options_are_refused(options):
    with pytest.raises(UserError, match="must be"):
        StopOnDivergence(**options)


def test_a_score_that_is_never_logged_is_said_once(tmp_path):
    with pytest.warns(UserWarning, match="watches val/fids, which no validation logs") as warned:
        train(Scripted([9.0] * 6), tmp_path, StopOnDivergence("val/fids"))
    said = [str(warning.message) for warning in warned if "watches" in str(warning.message)]
    assert len(said) == 1
    assert "val/fid, val/other" in said[0]
