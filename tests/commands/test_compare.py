import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import independent
from gen_experiments.checkpoints.loading import load_model
from gen_experiments.images import to_float, to_uint8
from gen_experiments.metrics.features import DigitsFeatures
from gen_experiments.metrics.reconstruction import psnr
from gen_experiments.models.base import ImageModel


def record(file="evaluation.json"):
    return json.loads(Path(file).read_text())


def write(name, count=100, extractor="DigitsFeatures", interval=True, **values):
    """Writes a record as `evaluate` does: of each metric the value, and half the width of its interval."""
    scores = {}
    for metric, (value, half) in values.items():
        scores[metric] = {"value": value, "settings": {}}
        if interval:
            scores[metric]["interval"] = [value - half, value + half]
    evaluated = {"kind": "samples of a model", "path": name, "count": count, "size": 32}
    reference = {"kind": "split", "split": "train", "count": 1437, "size": 32, "pixels_sha256": "0"}
    protocol = {"extractor": extractor, "evaluated": evaluated, "reference": reference, "bootstrap": 100}
    Path(name).write_text(json.dumps({"scores": scores, "protocol": protocol}))


def rows(out, metric):
    (row,) = [line for line in out.splitlines() if f" {metric} " in line]
    return " ".join(row.replace("│", " ").split())


@pytest.fixture
def compared(experiment, capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments):
        capsys.readouterr()
        assert experiment("compare", *arguments) == 0
        return capsys.readouterr().out

    return run


def test_intervals_that_do_not_overlap_have_a_winner(compared):
    write("a.json", fid=(2.0, 0.4), recall=(0.5, 0.1))
    write("b.json", fid=(3.0, 0.5), recall=(0.8, 0.1))
    out = compared("a.json", "b.json")
    assert rows(out, "fid") == "fid 2 (1.6 to 2.4) 3 (2.5 to 3.5) 1"
    assert rows(out, "recall").endswith(" 2")


@pytest.mark.parametrize("half", [0.5, 1.5])
def test_intervals_that_overlap_have_none(compared, half):
    write("a.json", fid=(2.0, half))
    write("b.json", fid=(3.0, 0.5))
    write("c.json", fid=(9.0, 0.5))
    assert rows(compared("a.json", "b.json", "c.json"), "fid").endswith("no winner, intervals overlap")
    assert rows(compared("b.json", "c.json"), "fid").endswith(" 1")


def test_the_best_has_to_be_apart_from_every_other_one(compared):
    for name, value in (("a.json", 2.0), ("b.json", 3.0), ("c.json", 2.05)):
        write(name, fid=(value, 0.1))
    assert rows(compared("a.json", "b.json", "c.json"), "fid").endswith("no winner, intervals overlap")


SMALLER = ["fid", "sfid", "fid_infinity", "kid", "mind", "missed", "class_missed", "near_copies", "lpips", "l1"]
SMALLER += ["bits_per_pixel"]
LARGER = ["is", "precision", "recall", "density", "coverage", "near_copies_p", "psnr", "ssim", "ms_ssim", "psnr_gain"]
LARGER += ["perplexity", "codebook_usage"]


def test_which_of_two_numbers_is_better_is_known_of_every_metric(compared, refused):
    for name, value in (("a.json", 1.0), ("b.json", 2.0)):
        write(name, **dict.fromkeys([*SMALLER, *LARGER], (value, 0.1)))
    out = compared("a.json", "b.json")
    for better, metrics in enumerate((SMALLER, LARGER), 1):
        for metric in metrics:
            unit = " (dB)" if metric.startswith("psnr") else ""
            assert rows(out, f"{metric}{unit}").endswith(f" {better}"), metric
    known = refused("evaluate", "a.json", "--metrics=[none]").partition("choose from ")[2]
    assert set(known.strip().split(", ")) | {"class_missed"} == {*SMALLER, *LARGER}


def test_numbers_without_intervals_are_said_to_have_none(compared):
    write("a.json", interval=False, kid=(2.0, 0))
    write("b.json", interval=False, kid=(1.0, 0))
    assert rows(compared("a.json", "b.json"), "kid") == "kid 2 1 2, without error bars"
    write("a.json", kid=(2.0, 0.1))  # one of two
    assert rows(compared("a.json", "b.json"), "kid").endswith("2, without error bars")


def test_different_protocols_are_named_and_not_ranked(compared):
    write("a.json", fid=(2.0, 0.1))
    write("b.json", fid=(3.0, 0.1), count=200)
    write("c.json", fid=(4.0, 0.1), extractor="Other")
    out = compared("a.json", "b.json", "c.json")
    assert rows(out, "fid").endswith("not ranked")
    assert "not ranked, as extractor differs: DigitsFeatures, DigitsFeatures, Other" in out
    assert "not ranked, as evaluated.count differs: 100, 200, 100" in out
    assert out.count("not ranked, as") == 2


def test_a_metrics_settings_keep_it_alone_from_being_ranked(compared):
    for name, size in (("a.json", 100), ("b.json", 50)):
        write(name, fid=(size / 10, 0.1), kid=(1.0, 0.1))
        held = record(name)
        held["scores"]["kid"]["settings"] = {"subset_size": size}
        Path(name).write_text(json.dumps(held))
    out = compared("a.json", "b.json")
    assert rows(out, "kid").endswith("not ranked, subset_size 100, 50")
    assert rows(out, "fid").endswith(" 2")


def test_runs_are_scored_anew_under_the_protocol_of_the_first(experiment, compared, checkpoints, tmp_path):
    for name, num in (("a", 30), ("b", 40)):
        shutil.copytree(checkpoints["gan"].parent.parent, tmp_path / name)
        assert experiment("evaluate", name, f"--num={num}", "--metrics=[fid]") == 0
    assert "evaluated.count differs: 30, 40" in compared("a", "b")
    out = compared("a", "b", "--rescore", "--num=50", "--metrics=[fid,recall]", "--bootstrap=40")
    assert rows(out, "fid").endswith("equal")
    first, second = record("a/evaluation.json"), record("b/evaluation.json")
    assert first["scores"] == second["scores"]
    assert first["protocol"]["evaluated"]["count"] == 50
    assert first["protocol"]["reference"]["split"] == "train"
    low, high = first["scores"]["fid"]["interval"]
    assert low < high
    assert "interval" not in first["scores"]["recall"]


def test_what_no_protocol_makes_comparable_is_not_told_to_be_rescored(compared, checkpoints, tmp_path):
    for name in ("gan", "vqvae"):
        shutil.copytree(checkpoints[name].parent.parent, tmp_path / name)
    out = compared("vqvae", "gan", "--rescore", "--num=50", "--metrics=[fid]", "--bootstrap=0")
    assert "not ranked, as evaluated.reconstructions differs: True, False" in out
    assert "by --rescore" not in out
    assert "score them under one protocol by --rescore" in compared("vqvae", "gan")


def test_reconstructions_are_scored_anew_on_the_split_of_training(compared, checkpoints, tmp_path):
    for name in ("a", "b"):
        shutil.copytree(checkpoints["vqvae"].parent.parent, tmp_path / name)
    compared("a", "b", "--rescore", "--metrics=[fid,psnr]", "--bootstrap=40")
    held = record("b/evaluation.json")
    assert held["protocol"]["reference"]["split"] == "val"
    assert held["protocol"]["evaluated"]["kind"] == "reconstructions"
    low, high = held["scores"]["psnr"]["interval"]
    assert low < held["scores"]["psnr"]["value"] < high


def test_scores_are_compared_also_where_their_records_cannot_be_kept(experiment, compared, checkpoints, tmp_path):
    for name in ("a", "b"):
        shutil.copytree(checkpoints["gan"].parent.parent, tmp_path / name)
        (tmp_path / name / "evaluation.json").mkdir()  # root may write into any folder
    out = compared("a", "b", "--rescore", "--num=50", "--metrics=[fid]", "--bootstrap=0")
    assert out.count("the record is not kept") == 2
    assert rows(out, "fid").endswith("equal")


def test_what_cannot_be_compared_is_said(refused, checkpoints, tmp_path):
    write("a.json", fid=(2.0, 0.1))
    write("b.json", mind=(2.0, 0.1))
    Path("text.json").write_text("none")
    Path("other.json").write_text("{}")
    Path("broken.json").write_text('{"scores": {"fid": {"value": "much", "settings": {}}}, "protocol": {}}')
    shutil.copytree(checkpoints["gan"].parent.parent, tmp_path / "run")
    for words, expected in {
        ("a.json",): "at least two",
        ("a.json", "nowhere.json"): "there is no record at nowhere.json",
        ("a.json", "nowhere"): "nowhere is no folder of a run",
        ("a.json", "text.json"): "text.json holds no record",
        ("a.json", "other.json"): "other.json holds no record",
        ("a.json", "broken.json"): "broken.json holds no record",
        ("a.json", "b.json"): "no metric in common",
        ("a.json", "run"): "run evaluate run",
        ("a.json", "run", "--rescore"): "a.json is no folder of a run",
        ("a.json", "other.json", "--metrics=[fid]"): "--metrics is for scoring the runs again: add --rescore",
        ("a.json", "other.json", "--bootstrap=0"): "--bootstrap is for scoring the runs again",
    }.items():
        assert expected in refused("compare", *words), words


def test_the_intervals_of_reconstructions_are_those_of_their_images(experiment, checkpoints):
    """The PSNR's interval is about 1.96 standard errors of the images' values to either side."""
    assert (
        experiment("evaluate", checkpoints["vqvae"], "--metrics=[psnr,fid]", "--bootstrap=2000", "--json=r.json") == 0
    )
    held = record("r.json")["scores"]["psnr"]
    model = load_model(checkpoints["vqvae"], ImageModel, "be evaluated")
    pixels, _ = independent.digits(32)
    images = pixels[independent.held_out(len(pixels))["val"]]
    values = psnr(to_uint8(model.reconstruct(to_float(images)).detach()), images).double().numpy()
    half = 1.96 * values.std(ddof=1) / len(values) ** 0.5
    assert held["value"] == pytest.approx(values.mean(), rel=1e-4)
    assert held["interval"] == pytest.approx([values.mean() - half, values.mean() + half], abs=0.1 * half)
    network = DigitsFeatures()
    real, made = network(images).double(), network(to_uint8(model.reconstruct(to_float(images)).detach())).double()
    source, resampled = np.random.default_rng(0), []
    for _ in range(200):
        rows = source.integers(0, len(images), len(images))
        resampled.append(independent.frechet(made[rows], real[rows]))
    value = independent.frechet(made, real)
    expected = 2 * value - np.quantile(resampled, [0.975, 0.025])
    assert record("r.json")["scores"]["fid"]["interval"] == pytest.approx(expected, rel=0.03)


def test_precision_has_the_interval_of_a_share(experiment, tmp_path):
    pixels, _ = independent.digits(32)
    for name, chosen in (("real", slice(0, 60)), ("fake", slice(60, 100))):
        (tmp_path / name).mkdir()
        for number, picture in enumerate(np.asarray(pixels[chosen])[:, 0]):
            Image.fromarray(picture).save(tmp_path / name / f"{number:04d}.png")
    known = ("--extractor=DigitsFeatures", "--extractor.any_images=true")
    assert (
        experiment("evaluate", "fake", "real", *known, "--metrics=[precision]", "--bootstrap=50", "--json=r.json") == 0
    )
    found = record("r.json")["scores"]
    share = found["precision"]["value"]
    # Wilson's formula solved as the quadratic (p̂ − p)² = z² p(1 − p)/n.
    z, n = 1.959964, 40
    low, high = np.sort(np.roots([1 + z**2 / n, -(2 * share + z**2 / n), share**2]).real)
    assert found["precision"]["interval"] == pytest.approx([low, high], abs=1e-6)
