"""A FID that means nothing is refused, or named; without one another score chooses the best checkpoint."""

import csv

import pytest

from conftest import SHORT, SMALL, SMALL_PRIOR
from gen_experiments.data.sources import CIFAR10, MNIST, Digits, FashionMNIST
from gen_experiments.errors import UserError
from gen_experiments.metrics.features import DigitsFeatures, InceptionFeatures
from pictures_on_disk import write_pictures

FOLDER = ["--data.source=ImageFolder", "--data.source.root=set", "--data.source.channels=1"]
NO_FID = "--evaluation.extractor=null"


def reported(tmp_path, model):
    with open(tmp_path / "runs" / model / "version_0" / "metrics.csv", encoding="utf-8") as file:
        return {name for row in csv.DictReader(file) for name in row if row[name]}


def best_of(text):
    return [line.split(":")[0].rsplit(" ", 1)[0] for line in text.splitlines() if line.startswith("best checkpoint")]


def test_digits_features_are_for_digits():
    extractor = DigitsFeatures()
    assert extractor.fits(Digits.content)
    assert extractor.fits(MNIST.content)
    for source in (CIFAR10, FashionMNIST):
        with pytest.raises(UserError, match="DigitsFeatures knows handwritten digits only"):
            extractor.fits(source.content)
    assert not DigitsFeatures(any_images=True).fits(CIFAR10.content)
    assert InceptionFeatures.fits(InceptionFeatures.__new__(InceptionFeatures), None)


def test_other_pictures_are_refused_before_the_first_step(experiment, tmp_path, capsys):
    write_pictures(tmp_path / "set", 40, size=(32, 32), mode="L")
    assert experiment("fit", *SMALL["vqvae"], *SHORT, *FOLDER) == 1
    printed = capsys.readouterr()
    assert "--evaluation.extractor=null trains without FID" in printed.err
    assert "decoded" not in printed.out + printed.err
    assert not (tmp_path / "runs").exists() or not list((tmp_path / "runs").rglob("*.ckpt"))


def test_what_the_refusal_of_a_command_advises_is_accepted(mistake, experiment, tmp_path):
    for folder in ("one", "other"):
        write_pictures(tmp_path / folder, 12, size=(32, 32), mode="L")
    command = ["evaluate", "one", "other", "--metrics=[precision]"]
    line = mistake(*command, "--extractor=DigitsFeatures")
    advised = line[line.index("if they are what it knows, ") :].split()[-2:]
    assert advised == ["--extractor=DigitsFeatures", "--extractor.any_images=true"]
    assert experiment(*command, *advised) == 0
    assert "there is no class yet that has options: name one first" in mistake(*command, advised[1])


def test_where_they_are_asked_for_their_name_is_in_every_line(experiment, tmp_path, capsys):
    write_pictures(tmp_path / "set", 40, size=(32, 32), mode="L")
    options = [*SMALL["vqvae"], *SHORT, *FOLDER, "--evaluation.extractor.any_images=true"]
    assert experiment("fit", *options) == 0
    assert best_of(capsys.readouterr().out) == ["best checkpoint, val/psnr"]
    assert "val/rfid_by_DigitsFeatures" in reported(tmp_path, "vqvae")
    assert "val/rfid" not in reported(tmp_path, "vqvae")
    assert experiment("test", *options, "--ckpt_path=last") == 0
    assert "test/rfid_by_DigitsFeatures" in capsys.readouterr().out


def test_without_an_extractor_reconstructions_are_chosen_by_psnr(experiment, tmp_path, capsys):
    assert experiment("fit", *SMALL["vqvae"], *SHORT, NO_FID) == 0
    said = capsys.readouterr().out
    assert best_of(said) == ["best checkpoint, val/psnr"]
    assert "no FID chooses a checkpoint: best is by val/psnr" in said
    run = tmp_path / "runs" / "vqvae" / "version_0"
    with open(run / "metrics.csv", encoding="utf-8") as file:
        scores = {row["step"]: float(row["val/psnr"]) for row in csv.DictReader(file) if row["val/psnr"]}
    assert len(scores) == 2
    assert f"val/psnr {max(scores.values()):.6g}: " in said
    assert not {name for name in reported(tmp_path, "vqvae") if "fid" in name}
    assert experiment("test", *SMALL["vqvae"], NO_FID, "--ckpt_path=best") == 0
    assert "no FID chooses" not in capsys.readouterr().out  # a test writes no checkpoint
    assert "test/psnr" in (run / "scores.csv").read_text()
    more = ["--trainer.max_steps=6", "--ckpt_path=last"]
    assert experiment("fit", *SMALL["vqvae"], *SHORT, NO_FID, *more) == 0


def test_a_prior_is_chosen_by_its_likelihood(experiment, checkpoints, capsys):
    assert experiment("fit", *SMALL_PRIOR, *SHORT, NO_FID, f"--model.vqvae={checkpoints['vqvae']}") == 0
    assert best_of(capsys.readouterr().out) == ["best checkpoint, val/nll"]


def test_of_a_gan_there_is_only_the_last(experiment, tmp_path, capsys):
    assert experiment("fit", *SMALL["gan"], *SHORT, NO_FID) == 0
    said = capsys.readouterr().out
    assert "no FID chooses a checkpoint: there is no best checkpoint, only the last" in said
    assert [path.name for path in (tmp_path / "runs").rglob("*.ckpt")] == ["last.ckpt"]
    checkpoint = tmp_path / "runs" / "gan" / "version_0" / "checkpoints" / "last.ckpt"
    assert experiment("memorisation", checkpoint) not in (0, None)
    assert "names no feature extractor: name one by --extractor" in capsys.readouterr().err
    assert experiment("memorisation", checkpoint, "--num=20", "--extractor=DigitsFeatures") == 0
