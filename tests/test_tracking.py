"""Weights & Biases: what the real client wrote, offline and to a server on this machine."""

import os
import subprocess
import sys

import pytest
import yaml

from conftest import SHORT, SMALL
from wandb_files import OfflineRun
from wandb_server import Server

IN_TRAINING = {"vqvae": ["train/loss"], "gan": ["train/loss_d", "train/loss_g"]}
IN_VALIDATION = {
    "vqvae": ["loss", "recon_mse", "psnr", "ssim", "rfid", "perplexity", "codebook_usage", "reconstructions", "codes"],
    "gan": ["fid", "samples"],
}


def fit(folder, *arguments, **environment):
    """A run in a process of its own, by a user without an account."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    home = {"HOME": str(folder), "NETRC": str(folder / "netrc"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "gen_experiments", "fit", *arguments]
    done = subprocess.run(
        command,
        cwd=folder,
        env={**plain, **home, **environment},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done


@pytest.fixture(scope="module", params=SMALL)
def offline(request, tmp_path_factory):
    """(model, what it printed, its folder) of a run without a key."""
    folder = tmp_path_factory.mktemp("offline")
    # Three steps an interval: the first one is not timed.
    few = ["--trainer.max_steps=4", "--trainer.val_check_interval=2"]
    done = fit(folder, *SMALL[request.param], *SHORT, *few)
    return request.param, done, folder / "runs" / request.param / "version_0"


def test_one_line_says_that_the_run_is_offline_and_how_to_upload_it(offline):
    model, done, _ = offline
    said = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Weights & Biases:")]
    assert len(said) == 1
    assert "no API key" in said[0]
    assert f"wandb sync runs/{model}/version_0/wandb/offline-run-*" in said[0]


def test_the_full_resolved_config_is_the_runs(offline):
    _, _, folder = offline
    config = OfflineRun(folder).config
    saved = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["model"] == saved["model"]
    assert config["data"] == saved["data"]
    assert config["trainer"]["max_steps"] == 4
    assert config["protocol"]["extractor"] == "DigitsFeatures"
    assert "32x32" in config["protocol"]["resize"]
    assert config["protocol"]["samples"] == saved["evaluation"]["samples"]


def test_curves_are_drawn_against_images_seen(offline):
    model, _, folder = offline
    run = OfflineRun(folder)
    assert run.metrics["*"] == "images_seen"
    for name in IN_TRAINING[model]:
        assert [images for images, _ in run.logged(name)] == [16, 32, 48, 64]
    for name in IN_VALIDATION[model]:
        assert [images for images, _ in run.logged(f"val/{name}")] == [32, 64], name
    assert run.logged("images_per_second")


def test_pictures_and_histograms_are_what_they_are_called(offline):
    model, _, folder = offline
    run = OfflineRun(folder)
    (title,) = {"reconstructions", "samples"} & set(IN_VALIDATION[model])
    for _, picture in run.logged(f"val/{title}"):
        assert picture["_type"] == "image-file"
        assert (next(folder.glob("wandb/offline-run-*/files")) / picture["path"]).is_file()
    if model == "vqvae":
        for _, histogram in run.logged("val/codes"):
            assert histogram["_type"] == "histogram"
            assert len(histogram["values"]) == 32
            # 180 validation images of 8x8 codes
            assert sum(histogram["values"]) == 180 * 64


def test_a_server_gets_the_stream(tmp_path):
    with Server() as server:
        done = fit(tmp_path, *SMALL["gan"], *SHORT, **server.environment)
    assert "offline" not in done.stdout
    (run,) = server.runs.values()
    history = [row for row in run["history"] if "val/fid" in row]
    assert [row["images_seen"] for row in history] == [32, 64]
    assert run["summary"]["val/fid"] == history[-1]["val/fid"]
    assert run["summary"]["val/fid_best"] == min(row["val/fid"] for row in history)
    assert run["config"]["model"]["class_path"] == "gen_experiments.models.gan.GAN"
    assert any("media/images" in path for path, _ in server.uploads)


def test_a_run_whose_server_cannot_be_reached_is_logged_offline(tmp_path):
    done = fit(tmp_path, *SMALL["gan"], *SHORT, WANDB_BASE_URL="http://127.0.0.1:9", WANDB_API_KEY="0" * 40)
    assert "http://127.0.0.1:9 cannot be reached" in done.stdout
    assert OfflineRun(tmp_path / "runs" / "gan" / "version_0").logged("val/fid")


@pytest.mark.parametrize("logger", ["false", "lightning.pytorch.loggers.CSVLogger", "true"])
def test_another_logger_takes_its_place(experiment, logger):
    chosen = [f"--trainer.logger={logger}"]
    if "." in logger:
        chosen.append("--trainer.logger.save_dir=RUN_DIR")
    assert experiment("fit", *SMALL["vqvae"], *SHORT, "--trainer.max_steps=2", *chosen) == 0
