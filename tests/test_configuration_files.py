"""Configurations that cannot be read, and those that come from a pipe."""

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import torch
import yaml

from conftest import CONFIGS, SHORT, SMALL
from gen_experiments.cli.pipes import pipes_as_files
from processes import MODULE, without_account


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model: &m\n  class_path: GAN\n  init_args: *m\n", "the YAML holds a value that contains itself"),
        ("config: config.yaml\n", "loop"),
        (
            "a: &a [1, 1, 1, 1]\n"
            + "".join(f"{b}: &{b} [*{a}, *{a}, *{a}, *{a}]\n" for a, b in pairwise("abcdefghij")),
            "the YAML holds more than 100000 values",
        ),
        ("[" * 10_000, "no YAML in line 1, column 10"),
    ],
)
def test_configurations_that_have_no_end(mistake, tmp_path, text, message):
    (tmp_path / "config.yaml").write_text(text)
    assert message in mistake("fit", "--config=config.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data:\n\tsize: 3\n", "mine.yaml: no YAML in line 2, column 1: found character"),
        ("", "mine.yaml holds no configuration"),
        ("[1, 2]", "mine.yaml holds no configuration"),
        ("trainer: 5", "mine.yaml: trainer must have keys of its own below it, and holds 5"),
        ("run: [a]", "mine.yaml: run must have keys of its own below it, and holds ['a']"),
        ("evaluation:", "mine.yaml holds no configuration"),
        ("data: 5", "mine.yaml: data must have keys of its own below it, and holds 5"),
        ("modell: {a: 1}", "(accepted: config, print_config, seed_everything, trainer, model, data, "),
        ("modell: {a: 1}", "there is no key modell.a; did you mean model?"),
        ("trainer: {max_step: 3}", "there is no key trainer.max_step; did you mean trainer.max_steps?"),
        ("run: {nam: x}", "there is no key run.nam; did you mean run.name? (accepted: name, root, "),
        ("evaluation: {sample: 3}", "there is no key evaluation.sample; did you mean evaluation.samples?"),
        ("max_steps: 3", "there is no key max_steps; did you mean trainer.max_steps?"),
        ("data: {sise: 3}", "data: there is no key sise; did you mean size?"),
        (
            "data: {init_args: {source: {class_path: ImageFolder, init_args: {rot: x}}}}",
            "data.source: there is no key rot; did you mean root?",
        ),
        ("model: {class_path: VQVAE, init_arg: {a: 3}}", "there is no key init_arg.a; did you mean init_args?"),
        ("model: {clas_path: VQVAE}", "there is no key clas_path; did you mean class_path?"),
        (
            "model: {init_args: {}, width: 3}",
            "model: it is no class of ImageModel: give class_path, and the options below",
        ),
    ],
)
def test_a_file_that_is_no_configuration_is_named(mistake, tmp_path, text, message):
    (tmp_path / "mine.yaml").write_text(text)
    for words in (["--config=mine.yaml"], ["--config", "mine.yaml"]):
        assert message in mistake("fit", *SMALL["gan"], *SHORT, *words)
    assert not list(tmp_path.rglob("version_*"))


def pipe(text):
    """What `<(…)` hands to a command: the name of a pipe that can be read once."""
    reading, writing = os.pipe()
    os.write(writing, text.encode())
    os.close(writing)
    return f"/dev/fd/{reading}", reading


def test_a_configuration_may_come_from_a_pipe(experiment, mistake, capsys):
    path, reading = pipe((CONFIGS / "vqvae.yaml").read_text().replace("batch_size: 64 ", "batch_size: 48 "))
    assert experiment("fit", "--config", path, "--print_config") == 0
    assert "batch_size: 48" in capsys.readouterr().out
    os.close(reading)
    path, reading = pipe("trainer: 5")
    said = mistake("fit", *SMALL["gan"], *SHORT, f"--config={path}")
    assert f"{path}: trainer must have keys of its own below it, and holds 5" in said
    os.close(reading)


def test_the_words_of_the_process_name_files_only_while_they_exist(monkeypatch):
    def fail(words):
        for _ in range(2):  # a file can be read again, by other processes too
            assert Path(words[1].removeprefix("--config=")).read_text() == "a: 1"
        own.append(sys.argv[1:] == words)
        raise KeyError

    own = []
    for others in ([], ["--more"]):
        path, reading = pipe("a: 1")
        monkeypatch.setattr(sys, "argv", before := ["program", "fit", f"--config={path}", *others])
        with pytest.raises(KeyError), pipes_as_files(["fit", f"--config={path}"]) as words:
            fail(words)
        assert sys.argv is before
        os.close(reading)
    assert own == [True, False]


@pytest.mark.long
def test_every_process_of_a_run_reads_what_is_piped_in(tmp_path):
    text = (CONFIGS / "vqvae.yaml").read_text().replace("batch_size: 64 ", "batch_size: 48 ")
    (tmp_path / "temporary").mkdir()
    path, reading = pipe("trainer: {devices: 2, accelerator: cpu}\nevaluation: {extractor: null}")
    short = [word for word in SHORT if "batch_size" not in word]
    done = subprocess.run(
        [*MODULE, "fit", "--config", "/dev/stdin", f"--config={path}", *short, "--trainer.max_steps=2"],
        cwd=tmp_path,
        env=without_account(tmp_path) | {"TMPDIR": str(tmp_path / "temporary")},
        input=text,
        pass_fds=[reading],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    os.close(reading)
    assert done.returncode == 0, done.stderr[-3000:]
    run = tmp_path / "runs" / "vqvae" / "version_0"
    saved = yaml.safe_load((run / "config.yaml").read_text())
    assert saved["trainer"]["devices"] == 2
    assert torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["images_seen"] == 96
    assert not list((tmp_path / "temporary").glob("gen_experiments-*"))


def test_a_configuration_of_no_text_is_named(mistake, tmp_path):
    (tmp_path / "mine.yaml").write_bytes(b"\xff\xfe\x00")
    assert "there is no text in mine.yaml: name a YAML file" in mistake(
        "fit", *SMALL["gan"], *SHORT, "--config=mine.yaml"
    )
