"""A run that is stopped and resumed ends as one that was not, bit for bit."""

import pytest
import torch
from conftest import CONFIGS, SHORT

RUNS = {
    "vqvae": ["--config", CONFIGS / "vqvae.yaml", "--model.quantizer.revive_below=0.5"],
    "gan": ["--config", CONFIGS / "gan.yaml", "--evaluation.samples=64", "--model.n_critic=2"],
}


def checkpoint(path):
    return torch.load(path, weights_only=True)


def equal(a, b):
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(equal, a, b))
    return a == b


# 1,437 training digits in batches of 96 make about 12 iterations an epoch: 7 and 19 lie in the middle of the first and second.
@pytest.mark.parametrize("stop", [7, 19])
@pytest.mark.parametrize("model", RUNS)
def test_a_resumed_run_ends_with_the_same_weights(experiment, tmp_path, model, stop):
    options = [*RUNS[model], *SHORT, "--data.batch_size=96", "--data.flip=true", f"--trainer.val_check_interval={stop}"]
    folder = tmp_path / "runs"
    whole = [*options, "--run.name=whole", f"--trainer.max_steps={2 * stop}"]
    assert experiment("fit", *whole) == 0
    part = [*options, "--run.name=part"]
    assert experiment("fit", *part, f"--trainer.max_steps={stop}") == 0
    assert experiment("fit", *part, f"--trainer.max_steps={2 * stop}", "--ckpt_path=last") == 0
    unbroken = checkpoint(folder / "whole" / "version_0" / "checkpoints" / "last.ckpt")
    resumed = checkpoint(folder / "part" / "version_1" / "checkpoints" / "last.ckpt")
    assert resumed["global_step"] == unbroken["global_step"] == 2 * stop
    for key in ("state_dict", "optimizer_states", "images_seen", "epoch"):
        assert equal(resumed[key], unbroken[key]), key


def test_resuming_obeys_an_override(experiment, tmp_path):
    options = [*RUNS["vqvae"], *SHORT, "--trainer.max_steps=2"]
    assert experiment("fit", *options) == 0
    last = tmp_path / "runs" / "vqvae" / "version_0" / "checkpoints" / "last.ckpt"
    override = ["--trainer.max_steps=4", "--model.optimizer.lr=0.0", f"--ckpt_path={last}"]
    assert experiment("fit", *RUNS["vqvae"], *SHORT, *override) == 0
    before = checkpoint(last)["state_dict"]
    after = checkpoint(tmp_path / "runs" / "vqvae" / "version_1" / "checkpoints" / "last.ckpt")["state_dict"]
    assert all(torch.equal(before[name], after[name]) for name in before if name.startswith(("encoder", "decoder")))


def test_validate_and_test_repeat_the_numbers_of_training(experiment, tmp_path, capsys):
    for model, options in RUNS.items():
        assert experiment("fit", *options, *SHORT) == 0
        checkpoints = tmp_path / "runs" / model / "version_0" / "checkpoints"
        score = checkpoint(checkpoints / "best.ckpt")["callbacks"]
        (best,) = (state["best_model_score"] for name, state in score.items() if name.startswith("ModelCheckpoint"))
        capsys.readouterr()
        assert experiment("validate", *options, *SHORT[3:], f"--ckpt_path={checkpoints / 'best.ckpt'}") == 0
        printed = capsys.readouterr().out
        assert f"{float(best):.4f}"[:6] in printed, printed
        tests = []
        for _ in range(2):
            assert experiment("test", *options, *SHORT[3:], "--ckpt_path=best") == 0
            tests.append(capsys.readouterr().out)
        assert "test/" in tests[0]
        assert tests[0] == tests[1]
