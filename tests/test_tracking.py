"""Weights & Biases: what the real client wrote, offline and to a server on this machine."""

import hashlib
import importlib
import json
import subprocess
from pkgutil import iter_modules

import numpy as np
import pytest
import torch
import yaml

import gen_experiments
import independent
from conftest import SHORT, SMALL
from gen_experiments import models
from gen_experiments.callbacks.tracking import commit
from gen_experiments.callbacks.wandb_logger import BEST_OF
from gen_experiments.metrics.features import DigitsFeatures
from gen_experiments.models.base import ImageModel
from processes import fit
from wandb_files import OfflineRun, table
from wandb_server import Server

IN_TRAINING = {"vqvae": ["train/loss"], "gan": ["train/loss_d", "train/loss_g"]}
IN_VALIDATION = {
    "vqvae": [
        "loss",
        "recon_mse",
        "psnr",
        "ssim",
        "rfid",
        "perplexity",
        "codebook_usage",
        "reconstructions",
        "codes",
        "batch_perplexity",
    ],
    "gan": ["fid", "samples"],
}


@pytest.fixture(scope="module", params=SMALL)
def offline(request, tmp_path_factory, checkpoints):
    """(model, what it printed, its folder) of a run without a key that begins with weights of another."""
    folder = tmp_path_factory.mktemp("offline")
    # Three steps an interval: the first one is not timed.
    few = ["--trainer.max_steps=4", "--trainer.val_check_interval=2", "--trainer.callbacks+=Tables"]
    begun = ["--run.root=my runs", f"--run.init_from={checkpoints[request.param]}"]
    done = fit(folder, *SMALL[request.param], *SHORT, *few, *begun)
    return request.param, done, folder / "my runs" / request.param / "version_0"


def test_one_line_says_that_the_run_is_offline_and_how_to_upload_it(offline):
    model, done, _ = offline
    said = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Weights & Biases:")]
    assert len(said) == 1
    assert "no API key" in said[0]
    # The shell takes it for one word.
    assert f"wandb sync 'my runs/{model}/version_0'/wandb/offline-run-*" in said[0]


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


def test_the_runs_config_says_which_images_weights_and_code_it_is_of(offline, checkpoints):
    model, _, folder = offline
    config = OfflineRun(folder).config
    counts = {name: held["images"] for name, held in config["images"].items()}
    assert counts == {"train": 1437, "val": 180, "test": 180}
    assert len({held["fingerprint"] for held in config["images"].values()}) == 3
    state = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    statistics = ("num_batches_tracked", "running_mean", "running_var")
    for part in {"gan": ("generator", "discriminator"), "vqvae": ("encoder", "decoder")}[model]:
        names = [name for name in state if name.startswith(f"{part}.") and not name.endswith(statistics)]
        assert config["parameters"][part] == sum(state[name].numel() for name in names) > 0
    assert config["code"]["gen_experiments"] == gen_experiments.__version__
    origin = checkpoints[model]
    assert config["began_with"] == {str(origin): hashlib.sha256(origin.read_bytes()).hexdigest()}


def test_the_commit_of_the_working_folder_is_told(tmp_path):
    assert commit(tmp_path) == {}
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(tmp_path)]
    (tmp_path / "file").write_text("one")
    for words in (["init", "-q"], ["add", "file"], ["commit", "-qm", "first"]):
        subprocess.run([*git, *words], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    assert commit(tmp_path) == {"git_commit": head, "git_changed": False}
    (tmp_path / "file").write_text("two")
    assert commit(tmp_path) == {"git_commit": head, "git_changed": True}


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


def test_tables_show_errors_and_nearest_training_images(offline):
    model, _, folder = offline
    pixels, labels = independent.digits(32)
    split = independent.held_out(len(pixels))
    if model == "vqvae":
        columns, rows = table(folder, "reconstructions")
        assert columns == ["class", "image", "reconstruction", "psnr", "ssim", "mse"]
        chosen = split["val"][np.linspace(0, 179, 16).astype(int)]
        for number, (label, image, remade, psnr, _, mse) in zip(chosen, rows, strict=True):
            np.testing.assert_array_equal(image, pixels[number, 0])
            assert label == str(int(labels[number]))
            assert psnr == pytest.approx(float(independent.psnr(image[None, None], remade[None, None])[0]), rel=1e-5)
            assert mse == pytest.approx(10 ** (-psnr / 10), rel=1e-5)
        return
    columns, rows = table(folder, "nearest_training_images")
    assert columns == ["sample", "nearest training image", "its class", "distance", "training images"]
    extractor = DigitsFeatures()
    training = extractor(pixels[split["train"]])
    for sample, near, label, distance, count in rows:
        made = extractor(torch.from_numpy(sample.copy())[None, None])
        distances = torch.cdist(made, training)[0]
        assert distance == pytest.approx(float(distances.min()), rel=1e-3)
        number = split["train"][int(distances.argmin())]
        np.testing.assert_array_equal(near, pixels[number, 0])
        assert (label, count) == (str(int(labels[number])), 1437)
    assert len(rows) == 16


def test_a_picture_says_when_it_was_made_and_what_it_shows(offline):
    model, _, folder = offline
    title, shown = {
        "vqvae": ("reconstructions", "originals above reconstructions"),
        "gan": ("samples", "samples"),
    }[model]
    captions = [picture["caption"] for _, picture in OfflineRun(folder).logged(f"val/{title}")]
    assert captions == [f"step {step}, {16 * step} images seen: {shown}" for step in (2, 4)]


def test_speed_memory_and_the_time_of_validations_are_logged(offline):
    _, _, folder = offline
    run = OfflineRun(folder)
    assert [images for images, _ in run.logged("validation_seconds")] == [32, 64]
    assert all(0 < seconds < 100 for _, seconds in run.logged("validation_seconds"))
    memory = [value for _, value in run.logged("peak_memory_gib")]
    assert memory == sorted(memory)
    assert 0.1 < memory[0] < 20


def test_checkpoints_data_and_reference_are_artifacts_if_asked_for(tmp_path):
    with Server() as server:
        done = fit(tmp_path, *SMALL["gan"], *SHORT, "--trainer.logger.init_args.log_model=true", **server.environment)
    assert "offline" not in done.stdout
    by_type = {held["type"]: held for held in server.artifacts.values() if held["type"] != "run_table"}
    config = next(iter(server.runs.values()))["config"]
    assert by_type["dataset"]["metadata"] == config["images"]
    assert by_type["reference-statistics"]["metadata"] == config["protocol"]
    assert by_type["dataset"]["used"]
    assert by_type["reference-statistics"]["used"]
    models = [held for held in server.artifacts.values() if held["type"] == "model"]
    assert {file for held in models for file in held["files"]} == {"model.ckpt"}
    assert any(set(held["aliases"]) >= {"best", "latest"} for held in models)
    sizes = {path.rpartition("/")[2]: size for path, size in server.uploads if path.startswith("/artifact/")}
    checkpoints = tmp_path / "runs" / "gan" / "version_0" / "checkpoints"
    assert sizes["model.ckpt"] in {path.stat().st_size for path in checkpoints.iterdir()}


def test_the_best_of_what_chooses_a_checkpoint_is_kept():
    modules = [
        importlib.import_module(f"gen_experiments.models.{found.name}") for found in iter_modules(models.__path__)
    ]
    parts = [part for module in modules for part in vars(module).values() if isinstance(part, type)]
    chosen = {part.score_without_fid for part in parts if issubclass(part, ImageModel)} - {None}
    assert len(chosen) > 1
    assert {(name, BEST_OF.get(name)) for name, _ in chosen} == chosen
    best = {"max": ("psnr", "ssim", "psnr_gain", "recall"), "min": ("l1", "lpips", "rfid", "rmind", "class_missed")}
    assert all(BEST_OF.get(f"val/{name}") == which for which, names in best.items() for name in names)


def test_a_server_gets_the_stream(tmp_path):
    with Server() as server:
        done = fit(tmp_path, *SMALL["gan"], *SHORT, "--run.name=mine", WANDB_PROJECT="theirs", **server.environment)
    assert "offline" not in done.stdout
    ((identity, run),) = server.runs.items()
    folder = tmp_path / "runs" / "mine" / "version_0"
    assert identity == json.loads((folder / "run.json").read_text())["id"]
    assert (run["name"], run["project"]) == ("mine", "theirs")
    history = [row for row in run["history"] if "val/fid" in row]
    assert [row["images_seen"] for row in history] == [32, 64]
    values = [row["val/fid"] for row in history]
    assert run["summary"]["val/fid"] == {"last": values[-1], "min": min(values)}
    assert run["summary"]["val/fid_best"] == min(row["val/fid"] for row in history)
    assert run["config"]["model"]["class_path"] == "gen_experiments.models.gan.GAN"
    assert any("media/images" in path for path, _ in server.uploads)


def test_scoring_a_run_opens_none_of_its_own(experiment, monkeypatch, tmp_path):
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert experiment("fit", *SMALL["vqvae"], *SHORT) == 0
    (folder,) = tmp_path.glob("runs/vqvae/*")
    before = sorted(folder.rglob("*"))
    assert folder / "wandb" in before
    for command in ("validate", "test", "predict"):
        assert experiment(command, *SMALL["vqvae"], *SHORT, "--ckpt_path=last") == 0
    new = {path.relative_to(folder).parts[0] for path in set(folder.rglob("*")) - set(before)}
    assert new == {"scores.csv", "predictions"}, set(folder.rglob("*")) - set(before)
    assert list(tmp_path.glob("runs/*/*")) == [folder]


def test_a_start_that_fails_leaves_nothing(tmp_path):
    (tmp_path / "broken.py").write_text(
        "from gen_experiments.networks.autoencoder import ConvEncoder\n"
        "class Broken(ConvEncoder):\n"
        "    def forward(self, images):\n"
        "        raise ValueError('a mistake of the user')\n"
    )
    done = fit(tmp_path, *SMALL["vqvae"], *SHORT, "--model.encoder=broken.Broken", code=1)
    assert "a mistake of the user" in done.stderr
    assert not list(tmp_path.glob("runs/*/*"))
    # The client offers to upload what is gone by then.
    assert "You can sync this run" not in done.stdout + done.stderr
    assert "Weights & Biases: no iteration has ended, so there is nothing to upload" in done.stdout
