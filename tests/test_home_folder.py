"""`~` and `~user` in paths, which a shell expands neither behind an equals sign nor in a file."""

import json

import pytest
import yaml

from conftest import CONFIGS, SHORT, SMALL
from gen_experiments.cli.parser import in_home
from gen_experiments.search.sweep_file import SweepFile
from gen_experiments.search.trials import Trials
from gen_experiments.storage import cache_root
from pictures_on_disk import write_pictures


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home folder other than the working folder, with eight grey pictures."""
    folder = tmp_path / "home"
    write_pictures(folder / "pictures", 8)
    monkeypatch.setenv("HOME", str(folder))
    return folder


def test_a_path_in_the_home_folder_is_found(experiment, capsys, monkeypatch):
    monkeypatch.setenv("HOME", "/some/home")
    data = f"--config={CONFIGS}/data/folder.yaml"
    found = ("--data.source.root=~/my pictures", "--run.root=~nobody-of-this-name/x", "--model.ema_half_life=~")
    assert experiment("fit", f"--config={CONFIGS}/vqvae.yaml", data, *found, "--print_config") == 0
    resolved = yaml.safe_load(capsys.readouterr().out)
    assert resolved["data"]["init_args"]["source"]["init_args"]["root"] == "/some/home/my pictures"
    assert resolved["run"]["root"] == "~nobody-of-this-name/x"
    assert resolved["model"]["init_args"]["ema_half_life"] is None
    assert experiment("sample", "~/a.ckpt", "--out=x.png") == 1
    assert "no checkpoint at /some/home/a.ckpt" in capsys.readouterr().err


def resolved(capsys, experiment, *options):
    assert experiment("fit", f"--config={CONFIGS}/vqvae.yaml", *options, "--print_config") == 0
    return yaml.safe_load(capsys.readouterr().out)


def test_a_file_may_name_the_home_folder(experiment, capsys, home, tmp_path):
    source = {"class_path": "ImageFolder", "init_args": {"root": "~/pictures", "channels": 1}}
    held = {"data": {"class_path": "ImageDataModule", "init_args": {"source": source}}, "run": {"root": "~/runs"}}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(held))
    found = resolved(capsys, experiment, "--config=mine.yaml")
    assert found["data"]["init_args"]["source"]["init_args"]["root"] == str(home / "pictures")
    assert found["run"]["root"] == str(home / "runs")


def test_a_run_and_commands_find_what_lies_in_the_home_folder(experiment, home, tmp_path):
    source = {"class_path": "ImageFolder", "init_args": {"root": "~/pictures", "channels": 1}}
    held = {"class_path": "ImageDataModule", "init_args": {"source": source, "size": 16, "val_size": 2, "test_size": 2}}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({"data": held}))
    own = (f"--data.source={json.dumps(source)}", "--data.val_size=2", "--data.test_size=2", "--data.batch_size=2")
    more = ("--evaluation.extractor=null", "--run.root=~/runs")
    assert experiment("fit", *SMALL["vqvae"], *SHORT, *own, *more) == 0
    assert (home / "runs" / "vqvae" / "version_0" / "checkpoints" / "last.ckpt").is_file()
    options = ("--out", "~/made/statistics.npz", "--extractor=DigitsFeatures", "--extractor.any_images=true")
    assert experiment("stats", "mine.yaml:train", *options) == 0
    assert (home / "made" / "statistics.npz").is_file()
    assert experiment("reconstruct", "~/runs/vqvae/version_0", "--images", "~/pictures", "--out=~/made/grid.png") == 0
    assert (home / "made" / "grid.png").is_file()
    assert not list(tmp_path.rglob("~*"))


def test_the_runs_of_a_sweep_are_sought_where_they_are_written(home, tmp_path):
    command = ["python", "-m", "gen_experiments", "fit", "--run.root=~/runs", "--run.name=s", "${args}"]
    held = {"method": "random", "metric": {"name": "val/rfid"}, "parameters": {"a": {"value": 1}}, "command": command}
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(held))
    assert Trials(SweepFile.read(tmp_path / "sweep.yaml"), 0).home == home / "runs" / "s"


def test_the_cache_may_lie_in_the_home_folder(home, monkeypatch):
    monkeypatch.setenv("GEN_EXPERIMENTS_CACHE", "~/cache")
    assert cache_root() == home / "cache"


def test_only_the_beginning_of_a_text_is_a_home_folder(home):
    given = {"a": ["~", "~/b", "c/~/d", "~no_user_of_this_name/e", "~~"], "f": (1, None, "~/g"), "~/key": True}
    assert in_home(given) == {
        "a": [str(home), f"{home}/b", "c/~/d", "~no_user_of_this_name/e", "~~"],
        "f": (1, None, f"{home}/g"),
        "~/key": True,
    }
