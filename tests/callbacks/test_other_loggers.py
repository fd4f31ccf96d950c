"""Runs with loggers of Lightning's or of the user's, in place of those of this project."""

import pytest
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import CSVLogger, Logger

from conftest import SHORT, SMALL
from gen_experiments.runs.location import run_folder


class NoFolder(Logger):
    """A logger that writes no files, as one of a server does."""

    name, version = "server", 0

    def log_metrics(self, metrics, step=None):
        pass

    def log_hyperparams(self, params, *others, **more):
        pass


@pytest.mark.parametrize(
    "logger", ["false", "lightning.pytorch.loggers.CSVLogger", "test_other_loggers.NoFolder", "true"]
)
def test_another_logger_takes_its_place(experiment, tmp_path, capsys, logger):
    chosen = [f"--trainer.logger={logger}"]
    if "CSV" in logger:
        chosen.append("--trainer.logger.save_dir=RUN_DIR")
    assert experiment("fit", *SMALL["vqvae"], *SHORT, "--trainer.max_steps=2", *chosen) == 0
    assert "everything was written to: runs/vqvae/version_0\n" in capsys.readouterr().out
    # The folder is a run for the commands, wherever the logger writes.
    run = tmp_path / "runs" / "vqvae" / "version_0"
    assert {file.name for file in (run / "images").iterdir()} > {"reconstructions-0000002.png"}
    assert [file.parent for file in (tmp_path / "runs").rglob("config.yaml")] == [run]
    assert experiment("evaluate", "runs/vqvae/version_0", "--metrics=[psnr]") == 0
    assert experiment("predict", f"--config={run / 'config.yaml'}", "--ckpt_path=last") == 0
    assert list((run / "predictions").iterdir())


def test_without_the_command_line_the_logger_has_the_pictures(tmp_path):
    trainer = Trainer(logger=CSVLogger(tmp_path, name="mine"), default_root_dir=tmp_path / "runs")
    assert run_folder(trainer) == tmp_path / "mine" / "version_0"
    assert run_folder(Trainer(logger=NoFolder())) is None
