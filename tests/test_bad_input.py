"""What bad input gets: one clear line, an exit code that is not zero, no traceback, nothing lost."""

import os
import subprocess

import pytest
import torch

from conftest import CONFIGS, SHORT, SMALL
from pictures_on_disk import write_pictures

FOLDER = ["--data.source=ImageFolder", "--data.source.root=pictures", "--evaluation.extractor=null"]


def test_image_folders(mistake, tmp_path):
    options = ["fit", *SMALL["vqvae"], *SHORT, *FOLDER]
    assert "there is no image folder pictures" in mistake(*options)
    (tmp_path / "pictures").mkdir()
    assert "pictures holds no picture" in mistake(*options)
    write_pictures(tmp_path / "pictures", 30, size=(64, 64))
    (tmp_path / "pictures" / "000.png").write_bytes(b"")
    assert "pictures/000.png is empty" in mistake(*options)
    (tmp_path / "pictures" / "000.png").unlink()
    cut = tmp_path / "pictures" / "007.png"
    cut.write_bytes(cut.read_bytes()[:3000])
    assert "pictures/007.png cannot be decoded" in mistake(*options)


def test_image_sizes_that_the_networks_cannot_take(mistake):
    assert "30" in mistake("fit", *SMALL["vqvae"], *SHORT, "--data.size=30")
    assert "32 or 40" in mistake("fit", *SMALL["gan"], *SHORT, "--data.size=36")


def test_batches_and_devices(mistake):
    assert "data.batch_size=3 is more than the 2 training images" in mistake(
        "fit", *SMALL["gan"], *SHORT, "--data.batch_size=3", "--data.val_size=1000", "--data.test_size=795"
    )


@pytest.mark.long
def test_a_batch_smaller_than_the_number_of_devices(tmp_path):
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


@pytest.mark.parametrize(
    ("option", "instead"),
    [
        ("--trainer.enable_checkpointing=false", "try a run by --trainer.fast_dev_run=true"),
        ("--trainer.barebones=true", "try a run by --trainer.fast_dev_run=true"),
        ("--trainer.val_check_interval=0.5", "trainer.check_val_every_n_epoch=1"),
    ],
)
def test_trainer_options_that_lightning_refuses(mistake, option, instead):
    assert instead in mistake("fit", *SMALL["gan"], *SHORT, option)


def test_trainer_options_that_a_vqgan_cannot_obey(mistake):
    adversary = f"--config={CONFIGS / 'experiments' / 'vqvae' / 'vqgan_mnist.yaml'}"
    message = mistake(
        "fit", *SMALL["vqvae"], adversary, "--data.source=Digits", *SHORT, "--trainer.gradient_clip_val=1.0"
    )
    assert "cannot obey trainer.gradient_clip_val: leave it out" in message


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


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--seed_everything=-5", "seed_everything must be in [0, 4294967295], not -5"),
        ("--trainer.devices=-1", "should be an int > 0"),
        ("--trainer.devices=null", "should be an int > 0"),
        ("--trainer.devices=1000", "trainer.devices=1000 processes are too many"),
        ("--trainer.accelerator=bogus", "invalid accelerator name"),
        ("--model.optimizer_g.betas=[0.5, 1.5]", "Invalid beta parameter at index 1: 1.5"),
        ("--model.ema_half_life=.nan", "ema_half_life must be >= 0, not nan"),
        ("--model.generator.width=1099511627776", "width must be in [1, 65536]"),
        ("--data.val_size=null", "data.val_size: Expected a float"),
        ("--data.size=1099511627776", "size must be in [1, 4096], not 1099511627776"),
        ("--evaluation.samples=null", "evaluation.samples: Expected an int"),
    ],
)
def test_values_that_make_no_sense(mistake, tmp_path, option, message):
    assert message in mistake("fit", *SMALL["gan"], *SHORT, "--trainer.accelerator=cpu", option)
    assert not list(tmp_path.rglob("version_*"))


def test_a_codebook_that_no_machine_can_hold(mistake):
    said = mistake("fit", *SMALL["vqvae"], *SHORT, "--model.quantizer.num_codes=1099511627776")
    assert "num_codes must be in [1, 16777216]" in said


@pytest.mark.parametrize(
    ("callback", "message"),
    [
        ("{class_path: Pictures, init_args: {columns: -1}}", "columns must be in [1, 4096], not -1"),
        ("{class_path: lightning.pytorch.callbacks.Timer, init_args: {duration: never}}", "not a valid duration"),
        (
            "{class_path: lightning.pytorch.callbacks.Timmer}",
            "there is no class Timmer in lightning.pytorch.callbacks; did you mean Timer?",
        ),
    ],
)
def test_callbacks(mistake, tmp_path, callback, message):
    (tmp_path / "callbacks.yaml").write_text(f"trainer: {{callbacks: [{callback}]}}")
    assert message in mistake("fit", *SMALL["gan"], "--config=callbacks.yaml", *SHORT)


def test_a_callback_of_lightnings_with_defaults_that_yaml_does_not_know(experiment, tmp_path):
    timer = ["--trainer.callbacks+=lightning.pytorch.callbacks.Timer", "--trainer.callbacks.duration=00:01:00:00"]
    assert experiment("fit", *SMALL["gan"], *SHORT, "--trainer.max_steps=1", *timer) == 0
    assert "Timer" in (tmp_path / "runs" / "gan" / "version_0" / "config.yaml").read_text()


def test_the_data_of_a_run_is_looked_for_where_the_run_was_started(mistake, experiment, tmp_path, monkeypatch):
    write_pictures(tmp_path / "pictures", 30, size=(32, 32))
    options = [*SMALL["gan"], *SHORT, *FOLDER, "--data.batch_size=4", "--trainer.max_steps=1"]
    assert experiment("fit", *options) == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    said = mistake("memorisation", tmp_path / "runs" / "gan" / "version_0" / "checkpoints" / "last.ckpt")
    assert f"there is no image folder pictures in {tmp_path / 'elsewhere'}" in said


@pytest.mark.parametrize("option", ["max_steps", "max_epochs", "limit_train_batches"])
def test_a_run_without_an_iteration_is_none(mistake, tmp_path, option):
    without_end = [] if option == "max_steps" else ["--trainer.max_steps=-1"]
    said = mistake("fit", *SMALL["gan"], *SHORT, *without_end, f"--trainer.{option}=0")
    assert f"trainer.{option}=0 trains nothing" in said
    assert not list(tmp_path.rglob("version_*"))


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (
            "vqvae",
            ["--data.val_size=1"],
            "fid needs 2 images, not 1: leave it out of --evaluation.metrics, or give more",
        ),
        ("gan", ["--evaluation.samples=5", "--evaluation.metrics=[fid,recall]"], "recall needs 6 images, not 5"),
        (
            "gan",
            ["--evaluation.samples=313", "--evaluation.metrics=[fid_infinity]"],
            "fid_infinity by DigitsFeatures needs 314 images, not 313: leave it out of --evaluation.metrics",
        ),
        ("vqvae", ["--evaluation.metrics=[fid,fid_infinity]"], "fid_infinity is for samples, not for pairs"),
        (
            "vqvae",
            ["--evaluation.lpips=Perceptual", "--evaluation.lpips.weights=nowhere.pth"],
            "there are no vgg16 weights at nowhere.pth: name the file by",
        ),
        ("gan", ["--evaluation.lpips=Perceptual"], "evaluation.lpips is for reconstructions, and for translations of"),
    ],
)
def test_metrics_that_a_model_cannot_have_are_found_before_the_first_step(mistake, tmp_path, model, options, message):
    assert message in mistake("fit", *SMALL[model], *SHORT, *options)
    assert not list(tmp_path.rglob("version_*"))


@pytest.mark.long
def test_a_gan_trains_on_more_devices_than_there_are_validation_images(tmp_path):
    import sys

    few = ["--trainer.devices=2", "--trainer.accelerator=cpu", "--data.val_size=1", "--trainer.max_steps=1"]
    done = subprocess.run(
        [sys.executable, "-m", "gen_experiments", "fit", *SMALL["gan"], *SHORT, *few],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "val/fid" in done.stdout


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_seeds_that_numpy_does_not_take(mistake, seed):
    said = mistake("fit", *SMALL["gan"], *SHORT, f"--seed_everything={seed}")
    assert f"seed_everything must be in [0, 4294967295], not {seed}" in said
