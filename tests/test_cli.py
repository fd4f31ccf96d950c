"""The command line: help, configs laid over each other, short overrides, and what a run leaves behind."""

import json
import os
import subprocess
import sys

import pytest
import yaml

import independent
from conftest import CONFIGS, SHORT, SMALL
from gen_experiments import __version__
from pictures_on_disk import write_pictures
from processes import python


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help_names_every_command(capsys, experiment, arguments):
    assert experiment(*arguments) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in ("fit", "validate", "test", "predict", "sample", "reconstruct"))


def test_the_version(capsys, experiment):
    assert experiment("--version") == 0
    assert capsys.readouterr().out.strip() == __version__


def test_the_help_of_fit_imports_nothing_heavy_that_lightning_does_not_and_frees_all():
    code = (
        "import atexit, gc, sys, lightning.pytorch.cli\n"
        "atexit.register(lambda: print('FROZEN', gc.get_freeze_count()))\n"
        "lightnings = set(sys.modules)\n"
        "from gen_experiments.__main__ import main\n"
        "try: main(['fit', '--help'])\nexcept SystemExit: pass\n"
        "heavy = {'wandb', 'torchvision', 'torch_fidelity', 'sklearn', 'scipy.linalg', 'PIL'}\n"
        "print('\\nHEAVY', sorted(heavy & (set(sys.modules) - lightnings)))"
    )
    done = python(code=code)
    assert "--model" in done.stdout
    assert "HEAVY []" in done.stdout
    # Objects that are frozen at the end are never freed, which Triton 3.9 reports in thirty lines.
    assert "FROZEN 0" in done.stdout


def help_of(capsys, experiment, *arguments):
    assert experiment(*arguments, "--help") == 0
    return " ".join(capsys.readouterr().out.split())


def test_the_help_of_a_command_says_all_that_its_docstring_says(capsys, experiment):
    said = help_of(capsys, experiment, "evaluate")
    assert "Each side is a checkpoint, a run (its best checkpoint), a folder of pictures, a data configuration" in said
    assert "the images to score: CHECKPOINT, RUN, DIR, FILE.yaml, FILE.yaml:test or FILE.npz." in said


@pytest.mark.parametrize(
    ("command", "meaning"),
    [("fit", "last resumes the newest run of this name and seed"), ("validate", "what is scored: a checkpoint, a run")],
)
def test_the_help_says_what_a_checkpoint_means_here_and_not_to_lightning(capsys, experiment, command, meaning):
    said = help_of(capsys, experiment, command)
    assert said.startswith("usage: gen_experiments")
    assert f"--ckpt_path CKPT_PATH {meaning}" in said
    assert "registry" not in said.partition("--ckpt_path CKPT_PATH ")[2].partition("--weights_only")[0]


def printed(capsys, experiment, *arguments):
    assert experiment("fit", *arguments, "--print_config") == 0
    return yaml.safe_load(capsys.readouterr().out)


def test_configs_are_laid_over_each_other_and_overrides_over_them(capsys, experiment):
    vqvae = f"--config={CONFIGS / 'vqvae.yaml'}"
    mnist = f"--config={CONFIGS / 'data' / 'mnist.yaml'}"
    described = printed(capsys, experiment, vqvae, mnist, "--model.quantizer.num_codes=256", "--data.size=28")
    assert described["data"]["init_args"]["source"]["class_path"].endswith("MNIST")
    assert described["data"]["init_args"]["batch_size"] == 64
    assert described["data"]["init_args"]["size"] == 28
    assert described["model"]["init_args"]["quantizer"]["init_args"]["num_codes"] == 256
    assert described["model"]["init_args"]["encoder"]["init_args"]["hidden"] == 64


def test_a_part_is_swapped_by_its_short_name(capsys, experiment):
    gan = f"--config={CONFIGS / 'gan.yaml'}"
    described = printed(capsys, experiment, gan, "--model.loss=Hinge", "--model.generator=PlainGenerator")
    assert described["model"]["init_args"]["loss"]["class_path"] == "gen_experiments.losses.adversarial.Hinge"
    assert described["model"]["init_args"]["generator"]["class_path"].endswith("PlainGenerator")


def test_a_new_file_in_a_room_is_known_by_its_short_name(tmp_path):
    (tmp_path / "mine.py").write_text("from gen_experiments.quantizers.fsq import FSQ\n\nclass Mine(FSQ):\n    pass\n")
    code = (
        f"import gen_experiments.quantizers as room; room.__path__.append({str(tmp_path)!r})\n"
        "from gen_experiments.__main__ import main\n"
        f"main(['fit', '--config', {str(CONFIGS / 'vqvae.yaml')!r}, '--model.quantizer=Mine', '--print_config'])"
    )
    assert "class_path: gen_experiments.quantizers.mine.Mine" in python(code=code).stdout


def test_the_saved_config_makes_the_same_run_anew(experiment, tmp_path):
    assert experiment("fit", *SMALL["vqvae"], *SHORT, "--trainer.max_steps=2", "--seed_everything=7") == 0
    runs = tmp_path / "runs" / "vqvae"
    assert experiment("fit", "--config", runs / "version_0" / "config.yaml") == 0
    first, second = (yaml.safe_load((runs / f"version_{i}" / "config.yaml").read_text()) for i in range(2))
    assert first == second
    assert first["seed_everything"] == 7

    curves = [independent.curves(runs / f"version_{i}" / "metrics.csv") for i in range(2)]
    assert curves[0] == curves[1]
    assert len(curves[0]) > 2


def test_the_final_metrics_are_a_table_and_the_folder_is_named(experiment, capsys):
    assert experiment("fit", *SMALL["gan"], *SHORT, "--trainer.max_steps=2") == 0
    said = capsys.readouterr().out
    assert "val/fid" in said
    assert "train/loss_d" in said
    assert "train/loss_g" in said
    assert "everything was written to: runs/gan/version_0" in said
    features = "features: DigitsFeatures, bilinear, antialiased, to 32x32\n"
    assert f"scored: 128 samples against the 1437 images of train; {features}" in said


@pytest.mark.parametrize(
    ("extractor", "features"),
    [("DigitsFeatures", "; features: DigitsFeatures, bilinear, antialiased, to 32x32"), ("null", "")],
)
def test_the_final_metrics_say_what_they_compare(experiment, capsys, extractor, features):
    arguments = (*SMALL["vqvae"], *SHORT, "--trainer.max_steps=2", f"--evaluation.extractor={extractor}")
    assert experiment("fit", *arguments, "--run.name=scored") == 0
    assert f"\nscored: reconstructions of the 180 images of val{features}\n" in capsys.readouterr().out
    few = ("--trainer.limit_val_batches=1", "--data.eval_batch_size=50", "--run.name=few")
    assert experiment("fit", *arguments, *few) == 0
    assert f"\nscored: reconstructions of 50 of the 180 images of val{features}\n" in capsys.readouterr().out
    assert experiment("fit", *arguments, "--trainer.limit_val_batches=0", "--run.name=not_scored") == 0
    assert "\nscored: " not in capsys.readouterr().out


RESTORATION = CONFIGS / "experiments" / "translation" / "restoration_digits.yaml"


@pytest.mark.parametrize(
    ("words", "unbuffered"),
    [
        (["--help"], "1"),
        (["report", "--help"], ""),
        (["compare", "a.json", "b.json"], "1"),
        (["damage", RESTORATION, "--images=pictures"], "1"),
    ],
)
def test_a_reader_that_goes_away_is_no_mistake(tmp_path, words, unbuffered):
    sides = {"evaluated": {}, "reference": {}}
    held = {"scores": {"fid": {"value": 1.0, "settings": {}}}, "protocol": sides | {"bootstrap": 0}}
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text(json.dumps(held))
    write_pictures(tmp_path / "pictures", 2, size=(32, 32), mode="L")
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "gen_experiments", *words]
    environment = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, stdout=writing, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")
