"""A run that a signal stops ends in order, and goes on as if it had not been stopped."""

import json

import pytest
import torch

import independent
from conftest import SHORT, SMALL
from gen_experiments.runs.record import RunRecord

# Not every iteration is logged, revives codes, steps the generator or computes the penalty of the GAN.
MODELS = {
    "vqvae": [*SMALL["vqvae"], "--model.quantizer.revive_below=0.9"],
    "gan": [*SMALL["gan"], "--model.n_critic=2"],
}


def rows(run):
    return independent.curves(run / "metrics.csv")


@pytest.mark.parametrize("model", MODELS)
def test_a_run_that_sigterm_has_stopped_goes_on_with_the_same_curves(experiment, tmp_path, capfd, model):
    options = [*MODELS[model], *SHORT, "--trainer.max_steps=20", "--trainer.val_check_interval=20"]
    options += ["--trainer.log_every_n_steps=3", "--run.resume=auto"]
    given = {"file": str(tmp_path / "signalled"), "step": 11, "name": "SIGTERM"}
    callback = {"class_path": "signal_once.SignalOnce", "init_args": given}
    stopped = [*options, f"--trainer.callbacks+={json.dumps(callback)}", "--run.root=stopped"]
    assert experiment("fit", *stopped) == 143
    run = tmp_path / "stopped" / model / "version_0"
    assert "stopped by SIGTERM at step 11, which" in capfd.readouterr().err
    assert torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 11
    identity = RunRecord.read(run).id
    assert experiment("fit", *stopped) == 0
    assert RunRecord.read(run).id == identity
    assert experiment("fit", *options) == 0
    assert rows(run) == rows(tmp_path / "runs" / model / "version_0")


def test_a_run_that_ends_by_its_time_says_so_and_goes_on_with_more(experiment, capsys, tmp_path):
    options = [*SMALL["gan"], *SHORT, "--trainer.max_steps=1000000", "--trainer.val_check_interval=1000000"]
    assert experiment("fit", *options, "--run.resume=auto", "--trainer.max_time=00:00:00:01") == 0
    assert "trainer.max_time was over: go on by --ckpt_path=last and a longer" in capsys.readouterr().out
    more = ["--run.resume=auto", "--trainer.max_time=00:10:00:00"]
    last = tmp_path / "runs" / "gan" / "version_0" / "checkpoints" / "last.ckpt"
    steps = torch.load(last, weights_only=True)["global_step"] + 2
    assert experiment("fit", *SMALL["gan"], *SHORT, f"--trainer.max_steps={steps}", *more) == 0
    assert "max_time" not in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "runs" / "gan").iterdir()] == ["version_0"]
    assert torch.load(last, weights_only=True)["global_step"] == steps
    assert RunRecord.read(last.parent.parent).status == "finished"
