import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import independent
from conftest import SMALL
from gen_experiments.metrics.features import DigitsFeatures
from pictures_on_disk import write_pictures


def record(file="record.json"):
    return json.loads(Path(file).read_text())


def scores(file="record.json"):
    return {name: found["value"] for name, found in record(file)["scores"].items()}


def digits(folder, chosen, size=32):
    """Writes some of the embedded digits as PNG files and returns them, (N, 1, size, size)."""
    pixels, _ = independent.digits(size)
    folder.mkdir()
    for number, picture in enumerate(np.asarray(pixels[chosen])[:, 0]):
        Image.fromarray(picture).save(folder / f"{number:04d}.png")
    return pixels[chosen]


def features(images):
    return DigitsFeatures()(torch.as_tensor(np.asarray(images))).numpy()


KNOWN = "--extractor.any_images=true"
BY_DIGITS = ("--extractor=DigitsFeatures", KNOWN)


def test_a_runs_fid_is_that_of_its_training_to_the_last_digit(experiment, checkpoints):
    run = checkpoints["gan"].parent.parent
    (trained,) = independent.column(run / "metrics.csv", "val/fid")
    assert experiment("evaluate", checkpoints["gan"], "--num=128", "--metrics=[fid]", "--json=record.json") == 0
    assert np.float32(scores()["fid"]) == np.float32(trained)
    protocol = record()["protocol"]
    assert protocol["reference"]["split"] == "train"
    assert protocol["evaluated"]["count"] == 128
    assert protocol["evaluated"]["images_seen"] == 32
    assert protocol["evaluated"]["step"] == 2
    assert protocol["extractor"] == "DigitsFeatures"
    assert len(protocol["weights_sha256"]) == 64


def test_scores_of_a_run_that_takes_no_file_are_still_printed(experiment, checkpoints, tmp_path, capsys):
    run = shutil.copytree(checkpoints["gan"].parent.parent, tmp_path / "run")
    (run / "evaluation.json").mkdir()
    asked = ("evaluate", "run", "--num=20", "--metrics=[kid]")
    assert experiment(*asked) == 0
    said = capsys.readouterr().out
    assert "kid" in said
    assert "the record is not kept (cannot write run/evaluation.json: Is a directory): name a file" in said
    assert experiment(*asked, "--json=run/evaluation.json") == 1


def test_a_copied_run_is_scored_where_it_lies_without_a_word(experiment, checkpoints, tmp_path, recwarn):
    run = shutil.copytree(checkpoints["vqvae"].parent.parent, tmp_path / "run")
    assert experiment("test", *SMALL["vqvae"], f"--ckpt_path={run / 'checkpoints' / 'last.ckpt'}") == 0
    assert not [str(each.message) for each in recwarn if "dirpath" in str(each.message)]


def test_reconstructions_score_as_in_validation(experiment, checkpoints):
    run = checkpoints["vqvae"].parent.parent
    assert experiment("evaluate", checkpoints["vqvae"], "--json=record.json", "--metrics=[fid,psnr,ssim]") == 0
    found = scores()
    for name, logged in (("fid", "rfid"), ("psnr", "psnr"), ("ssim", "ssim")):
        (trained,) = independent.column(run / "metrics.csv", f"val/{logged}")
        assert found[name] == pytest.approx(trained, rel=1e-6), name


def test_codes_are_counted_over_all_images(experiment, checkpoints, tmp_path):
    digits(tmp_path / "real", slice(0, 60))
    assert experiment("encode", checkpoints["vqvae"], "--images=real") == 0
    metrics = "--metrics=[perplexity,codebook_usage,bits_per_pixel]"
    assert experiment("evaluate", checkpoints["vqvae"], "real", metrics, *BY_DIGITS, "--json=record.json") == 0
    codes = np.load("codes.npz")["codes"]
    shares = np.unique(codes, return_counts=True)[1] / codes.size
    entropy = -(shares * np.log2(shares)).sum()
    size = record()["scores"]["perplexity"]["settings"]["codebook_size"]
    assert size == np.load("codes.npz")["codebook_size"]
    assert scores() == pytest.approx(
        {
            "perplexity": 2**entropy,
            "codebook_usage": len(shares) / size,
            "bits_per_pixel": entropy * codes[0].size / 32**2,
        },
        rel=1e-5,
    )


def test_codes_that_no_image_has_are_counted(experiment, checkpoints, tmp_path):
    digits(tmp_path / "all", slice(0, 60))
    assert experiment("encode", checkpoints["vqvae"], "--images=all") == 0
    archive = np.load("codes.npz")
    last = archive["codes"].reshape(60, -1).max(1) == archive["codebook_size"] - 1
    digits(tmp_path / "some", np.flatnonzero(~last)[:5])
    wanted = ("--metrics=[codebook_usage]", *BY_DIGITS, "--json=record.json")
    assert experiment("evaluate", checkpoints["vqvae"], "some", *wanted) == 0
    used = len(np.unique(archive["codes"][~last][:5]))
    assert scores()["codebook_usage"] == pytest.approx(used / archive["codebook_size"])


def test_a_run_is_its_best_checkpoint(experiment, checkpoints, tmp_path):
    shutil.copytree(checkpoints["gan"].parent.parent, tmp_path / "run")
    experiment("evaluate", "run", "--num=20", "--metrics=[fid]", "--json=record.json")
    path = record()["protocol"]["evaluated"]["path"]
    assert path.endswith("checkpoints/best.ckpt")


def test_folders_agree_with_torch_fidelity(experiment, inception_weights, tmp_path):
    import torch_fidelity

    # Of different contrasts and colours, so that all metrics have something to tell.
    for name, seed, brightest in (("real", 0, 255), ("fake", 1, 200)):
        (tmp_path / name).mkdir()
        source = np.random.default_rng(seed)
        for number in range(24):
            coarse = source.integers(0, brightest, (4, 4, 3)).astype(np.uint8)
            Image.fromarray(coarse).resize((32, 32), Image.NEAREST).save(tmp_path / name / f"{number:02d}.png")
    theirs = torch_fidelity.calculate_metrics(
        input1="fake",
        input2="real",
        fid=True,
        kid=True,
        isc=True,
        prc=True,
        feature_extractor="inception-v3-compat",
        kid_subset_size=24,
        cuda=False,
        feature_extractor_weights_path=str(inception_weights),
        verbose=False,
        save_cpu_ram=True,
        batch_size=24,
    )
    extractor = f'--extractor={{"class_path": "InceptionFeatures", "init_args": {{"weights": "{inception_weights}"}}}}'
    with pytest.warns(UserWarning, match="singular"):
        assert experiment("evaluate", "fake", "real", extractor, "--json=record.json") == 0
    found = scores()
    for ours, name in (
        ("fid", "frechet_inception_distance"),
        ("kid", "kernel_inception_distance_mean"),
        ("is", "inception_score_mean"),
        ("precision", "precision"),
        ("recall", "recall"),
    ):
        assert found[ours] == pytest.approx(theirs[name], rel=1e-4), name
    held = record()
    assert held["scores"]["kid"]["settings"] == {"subsets": 100, "subset_size": 24}
    assert held["scores"]["is"]["deviation"] == pytest.approx(theirs["inception_score_std"], rel=1e-4)


def test_samples_of_an_archive_score_as_their_files_do(experiment, tmp_path):
    digits(tmp_path / "real", slice(0, 60))
    fake = digits(tmp_path / "fake", slice(100, 150))
    # As other tools write them: (N, H, W, C).
    np.savez(tmp_path / "fake.npz", np.asarray(fake).transpose(0, 2, 3, 1).repeat(3, axis=-1))
    assert experiment("evaluate", "fake", "real", *BY_DIGITS, "--json=files.json") == 0
    assert experiment("evaluate", "fake.npz", "real", *BY_DIGITS, "--json=record.json") == 0
    assert scores() == pytest.approx(scores("files.json"), rel=1e-5)
    assert scores()["fid"] == pytest.approx(
        independent.frechet(features(fake), features(independent.digits(32)[0][:60])), rel=1e-4
    )


def test_statistics_stand_for_their_images(experiment, tmp_path, capsys):
    digits(tmp_path / "real", slice(0, 100))
    digits(tmp_path / "fake", slice(100, 200))
    assert experiment("stats", "real", "--out=real.npz", *BY_DIGITS) == 0
    assert capsys.readouterr().out == "wrote mu and sigma of 100 images by DigitsFeatures to real.npz\n"
    with np.load("real.npz") as held:
        rows = features(independent.digits(32)[0][:100]).astype(np.float64)
        np.testing.assert_allclose(held["mu"], rows.mean(0), rtol=1e-6)
        np.testing.assert_allclose(held["sigma"], np.cov(rows, rowvar=False), rtol=1e-5, atol=1e-6)
        # A file of clean-fid or EDM, which names neither extractor nor count.
        np.savez("plain.npz", mu=held["mu"], sigma=held["sigma"])
    assert experiment("evaluate", "fake", "real", *BY_DIGITS, "--metrics=[fid]", "--json=images.json") == 0
    for name in ("real.npz", "plain.npz"):
        assert experiment("evaluate", "fake", name, *BY_DIGITS, "--json=record.json") == 0
        assert scores() == pytest.approx(scores("images.json"), rel=1e-9)


def test_features_stand_for_their_images_in_every_metric(experiment, tmp_path):
    digits(tmp_path / "real", slice(0, 100))
    digits(tmp_path / "fake", slice(100, 200))
    assert experiment("stats", "real", "--out=real.npz", "--features", *BY_DIGITS) == 0
    with np.load("real.npz") as held:
        np.testing.assert_allclose(held["reps"], features(independent.digits(32)[0][:100]), rtol=1e-4, atol=1e-6)
        np.savez("plain.npz", reps=held["reps"].astype(np.float64), model=np.array("inception"))  # as dgm-eval does
    assert experiment("evaluate", "fake", "real", *BY_DIGITS, "--json=images.json") == 0
    for name in ("real.npz", "plain.npz"):
        assert experiment("evaluate", "fake", name, *BY_DIGITS, "--json=record.json") == 0
        assert scores() == pytest.approx(scores("images.json"), rel=1e-6)
        assert {"kid", "recall", "mind"} <= scores().keys()
    assert record()["protocol"]["reference"]["kind"] == "features"


def test_data_configurations_name_a_split(experiment, tmp_path):
    for split, chosen in (("train", slice(0, 60)), ("test", slice(60, 120))):
        write_pictures(tmp_path / "data" / split, count=12, seed=chosen.start)
    (tmp_path / "own.yaml").write_text(
        "data:\n  class_path: ImageDataModule\n  init_args:\n    size: 16\n    val_size: 4\n"
        "    source: {class_path: ImageFolder, init_args: {root: data, channels: 3}}\n"
    )
    command = ("evaluate", "own.yaml:test", "own.yaml", *BY_DIGITS, "--metrics=[fid,mind]", "--json=record.json")
    with pytest.warns(UserWarning, match="singular"):
        assert experiment(*command) == 0
    protocol = record()["protocol"]
    assert [protocol[role]["split"] for role in ("evaluated", "reference")] == ["test", "train"]
    assert protocol["extractor_knows_the_images"] is False
    assert protocol["evaluated"]["origin"] == "folder data/test"
    sides = ("own.yaml:val", "own.yaml")
    assert experiment("evaluate", *sides, *BY_DIGITS, "--metrics=[mind]", "--json=record.json") == 0
    assert record()["protocol"]["evaluated"]["origin"] == "held out of train"


def test_pictures_are_brought_to_the_size_of_the_data(experiment, checkpoints, tmp_path):
    digits(tmp_path / "large", slice(0, 40), size=64)
    assert experiment("evaluate", "large", checkpoints["gan"], "--num=40", "--metrics=[fid]", "--json=record.json") == 0
    assert record()["protocol"]["evaluated"]["size"] == 32


def test_of_few_images_what_they_allow_is_scored(experiment, tmp_path):
    digits(tmp_path / "real", slice(0, 30))
    digits(tmp_path / "few", slice(40, 45))
    for sides, left_out in (
        (("few", "real"), {"is", "precision", "recall", "density", "coverage"}),
        (("real", "few"), {"precision", "recall", "density", "coverage"}),
    ):
        assert experiment("evaluate", *sides, *BY_DIGITS, "--bootstrap=40", "--json=record.json") == 0
        every = {"fid", "kid", "is", "precision", "recall", "density", "coverage", "mind", "missed"}
        assert scores().keys() == every - left_out


def test_the_help_names_both_sides(experiment, capsys):
    assert experiment("evaluate", "--help") == 0
    said = capsys.readouterr().out
    assert "evaluated [reference]" in said
