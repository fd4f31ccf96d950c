"""What bad input gets: one clear line, an exit code that is not zero, no traceback, nothing lost."""

import pytest
import torch

from conftest import CONFIGS, SHORT, SMALL
from pictures_on_disk import write_pictures


@pytest.fixture
def mistake(experiment, capsys):
    """Runs a command line that must fail and returns the one line it says."""

    def run(*arguments):
        capsys.readouterr()
        code = experiment(*arguments)
        said = capsys.readouterr().err
        lines = [line for line in said.splitlines() if line.startswith("error: ")]
        assert code not in (0, None)
        assert len(lines) == 1, said
        assert "Traceback" not in said
        return lines[0]

    return run


@pytest.fixture
def trained(experiment, tmp_path):
    """A checkpoint of each model."""
    for model in SMALL:
        assert experiment("fit", *SMALL[model], *SHORT, "--trainer.max_steps=2") == 0
    return {model: tmp_path / "runs" / model / "version_0" / "checkpoints" / "last.ckpt" for model in SMALL}


FOLDER = ["--data.source=ImageFolder", "--data.source.root=pictures", "--evaluation.extractor=DigitsFeatures"]


def test_image_folders(mistake, tmp_path):
    options = ["fit", *SMALL["vqvae"], *SHORT, *FOLDER]
    assert "there is no image folder pictures" in mistake(*options)
    (tmp_path / "pictures").mkdir()
    assert "pictures holds no picture" in mistake(*options)
    write_pictures(tmp_path / "pictures", 30, size=(64, 64))
    cut = tmp_path / "pictures" / "007.png"
    cut.write_bytes(cut.read_bytes()[:3000])
    assert "pictures/007.png cannot be decoded" in mistake(*options)


def test_image_sizes_that_the_networks_cannot_take(mistake):
    assert "30" in mistake("fit", *SMALL["vqvae"], *SHORT, "--data.size=30")
    assert "24" in mistake("fit", *SMALL["gan"], *SHORT, "--data.size=24")


def test_batches_and_devices(mistake):
    assert "data.batch_size=3 is more than the 2 training images" in mistake(
        "fit", *SMALL["gan"], *SHORT, "--data.batch_size=3", "--data.val_size=1000", "--data.test_size=795"
    )


def test_a_batch_smaller_than_the_number_of_devices(tmp_path):
    import os
    import subprocess
    import sys

    command = [sys.executable, "-m", "gen_experiments", "fit", *SMALL["gan"], *SHORT, "--trainer.devices=2"]
    done = subprocess.run(
        [*command, "--data.batch_size=1", "--trainer.accelerator=cpu"],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode != 0
    assert "data.batch_size=1 cannot be divided among 2 devices" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("option", "instead"),
    [
        ("--trainer.accumulate_grad_batches=2", "data.batch_size"),
        ("--trainer.gradient_clip_val=1.0", "model.gradient_clip_norm"),
    ],
)
def test_trainer_options_that_a_gan_cannot_obey(mistake, option, instead):
    assert instead in mistake("fit", *SMALL["gan"], *SHORT, option)


def test_trainer_options_that_a_vqgan_cannot_obey(mistake):
    adversary = f"--config={CONFIGS / 'experiments' / 'vqvae' / 'vqgan_mnist.yaml'}"
    message = mistake(
        "fit", *SMALL["vqvae"], adversary, "--data.source=Digits", *SHORT, "--trainer.gradient_clip_val=1.0"
    )
    assert "cannot obey trainer.gradient_clip_val: leave it out" in message


def test_checkpoints(mistake, trained, tmp_path):
    vqvae, gan = SMALL["vqvae"], SMALL["gan"]
    assert "there is no checkpoint at nowhere.ckpt" in mistake("fit", *gan, *SHORT, "--ckpt_path=nowhere.ckpt")
    assert "no run in runs/other has a readable checkpoint" in mistake(
        "fit", *gan, *SHORT, "--run.name=other", "--ckpt_path=last"
    )
    assert "holds a VQVAE, not a GAN" in mistake("fit", *gan, *SHORT, f"--ckpt_path={trained['vqvae']}")
    other = ["--model.quantizer.num_codes=16", f"--ckpt_path={trained['vqvae']}"]
    assert "does not fit this configuration" in mistake("validate", *vqvae, *other)
    assert "holds a VQVAE, which cannot sample" in mistake("sample", trained["vqvae"])
    write_pictures(tmp_path / "pictures", 2)
    assert "holds a GAN, which cannot reconstruct" in mistake("reconstruct", trained["gan"], "--images=pictures")
    damaged = tmp_path / "damaged.ckpt"
    damaged.write_bytes(trained["gan"].read_bytes()[:5000])
    assert "is no readable checkpoint" in mistake("sample", damaged)
    torch.save({"state_dict": {}}, tmp_path / "foreign.ckpt")
    assert "was not written by gen_experiments" in mistake("sample", tmp_path / "foreign.ckpt")


def test_a_checkpoint_that_names_foreign_code_is_not_imported(mistake, trained, tmp_path, monkeypatch):
    (tmp_path / "foreign.py").write_text("open('imported', 'w')\n")
    monkeypatch.syspath_prepend(tmp_path)
    checkpoint = torch.load(trained["gan"], weights_only=True)
    checkpoint["hyper_parameters"]["generator"]["class_path"] = "foreign.Generator"
    torch.save(checkpoint, tmp_path / "foreign.ckpt")
    assert "GEN_EXPERIMENTS_TRUST=foreign" in mistake("sample", tmp_path / "foreign.ckpt")
    assert not (tmp_path / "imported").exists()


@pytest.mark.parametrize("model", SMALL)
def test_a_loss_that_became_nan_stops_the_run_and_keeps_the_good_checkpoint(mistake, tmp_path, model):
    wild = {
        "vqvae": ["--model.optimizer=torch.optim.SGD", "--model.optimizer.lr=1e30"],
        "gan": ["--model.optimizer_d=torch.optim.SGD", "--model.optimizer_d.lr=1e30", "--model.optimizer_g.lr=1e30"],
    }
    schedule = ["--model.lr_schedule=Linear", "--model.lr_schedule.start=0.0", "--model.lr_schedule.end=1.0"]
    options = [*SMALL[model], *SHORT, *wild[model], *schedule, "--model.lr_schedule.images=64"]
    said = mistake("fit", *options, "--trainer.max_steps=20", "--trainer.val_check_interval=1")
    assert "became NaN or infinite" in said
    last = tmp_path / "runs" / model / "version_0" / "checkpoints" / "last.ckpt"
    assert str(last.relative_to(tmp_path)) in said
    state = torch.load(last, weights_only=True)["state_dict"]
    assert all(torch.isfinite(value.float()).all() for value in state.values())


def test_places_that_cannot_be_written(mistake, trained, tmp_path):
    (tmp_path / "file").write_text("")
    assert "cannot write" in mistake("sample", trained["gan"], "--out=file/grid.png")
    assert "--run.root" in mistake("fit", *SMALL["gan"], *SHORT, "--run.root=file")
    assert "num must be >= 1, not 0" in mistake("sample", trained["gan"], "--num=0")
