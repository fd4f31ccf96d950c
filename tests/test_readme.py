"""What the README and the pages beside the recipes say can be done."""

import json
import re
import shutil
import sys
from pathlib import Path

import pytest
import torch

from conftest import SMALL
from gen_experiments.__main__ import COMMANDS
from gen_experiments.images import save_image

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "configs").rglob("README.md")),
    *sorted((ROOT / "gen_experiments").rglob("README.md")),
    ROOT / "tests" / "benchmarks" / "README.md",
]


@pytest.fixture(params=PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def page(request):
    return request.param


def test_the_example_in_python_runs(checkpoints, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("gan", "vqvae"):
        shutil.copytree(checkpoints[name].parent.parent, tmp_path / "runs" / name / "version_0")
    save_image(torch.full((3, 40, 60), 128, dtype=torch.uint8), "cat.jpg")
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    names = {}
    exec(code, names)
    assert names["images"].shape == names["again"].shape == (16, 1, 32, 32)
    assert names["error"] > 0
    assert names["own"].shape == (1, 1, 32, 32)
    assert names["fid"] > 0


def test_the_example_of_a_data_set_is_trained_on_and_read_again(tmp_path, experiment, monkeypatch):
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "configs/data/README.md").read_text("utf-8"), re.DOTALL)
    (tmp_path / "mydata.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    data = ["--data.source=mydata.Mine", "--data.source.count=40", "--data.batch_size=8", "--evaluation.extractor=null"]
    assert experiment("fit", *SMALL["vqvae"], *data, "--trainer.max_steps=2", "--trainer.val_check_interval=2") == 0
    assert experiment("evaluate", "runs/vqvae/version_0") == 1
    monkeypatch.setenv("GEN_EXPERIMENTS_TRUST", "mydata")
    assert experiment("evaluate", "runs/vqvae/version_0") == 0
    reference = json.loads((tmp_path / "runs/vqvae/version_0/evaluation.json").read_text())["protocol"]["reference"]
    assert (reference["source"], reference["count"]) == ("Mine", 4)
    source = sys.modules["mydata"].Mine(10)
    made = source.decode("train", (8, 12))
    assert made.images.shape == (10, 3, 8, 12)
    dark = made.images.mean((1, 2, 3)) < 128
    assert dark.tolist() == (made.labels == 0).tolist() == [True, False] * 5


def test_what_a_page_links_to_is_there(page):
    links = re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8"))
    local = [link for link in links if "://" not in link]
    assert all((page.parent / link).exists() for link in local), local


def test_the_configurations_that_a_page_names_are_there(page):
    named = re.findall(r"\b((?:configs|sweeps|tests)/[\w/.-]+\.(?:yaml|sbatch|py))", page.read_text(encoding="utf-8"))
    assert [name for name in named if "NAME" not in name and not (ROOT / name).is_file()] == []


def test_every_command_is_in_the_readme():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert {name for name in COMMANDS if name not in text} == set()


def test_the_commands_of_the_readme_are_some():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    run = re.findall(r"python -m gen_experiments ([a-z-]+)", text)
    assert run
    assert set(run) <= set(COMMANDS)
