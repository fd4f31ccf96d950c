"""What `evaluate` and `stats` cannot use is said in one line."""

import numpy as np
from test_evaluate import BY_DIGITS, digits

from pictures_on_disk import write_pictures


def test_what_cannot_be_evaluated_is_said(refused, checkpoints, tmp_path):
    digits(tmp_path / "real", slice(0, 30))
    digits(tmp_path / "few", slice(0, 5))
    write_pictures(tmp_path / "sizes", count=1, size=(20, 20))
    write_pictures(tmp_path / "sizes" / "more", count=1, size=(16, 16))
    (tmp_path / "empty").mkdir()
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "run" / "config.yaml").write_text("data: {}\n")
    refusals = {
        ("real",): "name a reference",
        ("real", "real"): "name an extractor by --extractor",
        ("real", *BY_DIGITS): "name a reference",
        ("real", "nowhere", *BY_DIGITS): "there is no nowhere",
        ("real", "real", "--extractor=DigitsFeatures"): "knows, --extractor=DigitsFeatures --extractor.any_images=true",
        ("empty", "real", *BY_DIGITS): "empty",
        ("sizes", "real", *BY_DIGITS): "differ in size",
        ("run", *BY_DIGITS): "has no checkpoint yet",
        ("real", "real", *BY_DIGITS, "--metrics=[fud]"): "no metric fud: choose from fid, sfid, fid_infinity, kid",
        ("real", "real", *BY_DIGITS, "--metrics=[psnr]"): "psnr is for reconstructions",
        ("real", "real", *BY_DIGITS, "--metrics=[fid]", "--lpips=Perceptual"): "--lpips is for reconstructions",
        (checkpoints["vqvae"], "--metrics=[psnr]", "--lpips=Perceptual"): "and metrics with lpips",
        (checkpoints["vqvae"], "--metrics=[near_copies]"): "near_copies is for samples of a run",
        (checkpoints["vqvae"], "--metrics=[ms_ssim]"): "ms_ssim is for reconstructions of 176 pixels a side",
        ("real", "real", *BY_DIGITS, "--device=cuda:99"): "there is no device cuda:99",
        ("few", "real", *BY_DIGITS, "--metrics=[fid,is]"): "is needs 10 images, not 5: leave it out of --metrics",
        ("real", "few", *BY_DIGITS, "--metrics=[recall]"): "recall needs 6 images, not 5",
        ("real", "real", *BY_DIGITS, "--metrics=[fid_infinity]"): "DigitsFeatures needs 314 images, not 30",
        ("real", "real", *BY_DIGITS, "--metrics=[sfid]"): "sfid is by InceptionFeatures",
        ("real", "own.yaml:tset", *BY_DIGITS): "names no split",
        ("real", "real", *BY_DIGITS, "--num=1"): "num must be >= 2",
        (checkpoints["prior"], checkpoints["vqvae"], "--num=4"): "which cannot sample",
    }
    for words, expected in refusals.items():
        assert expected in refused("evaluate", *words), words


def test_archives_that_do_not_fit_are_said(refused, checkpoints, tmp_path, monkeypatch):
    digits(tmp_path / "real", slice(0, 30))
    mean, covariance = np.zeros(64), np.eye(64)
    skewed, spoilt = np.eye(64), np.eye(64)
    skewed[0, 1], spoilt[3, 3] = 1, np.nan
    archives = {
        "dim": ({"mu": np.zeros(5), "sigma": np.eye(5)}, "statistics of 5 features where the extractor has 64"),
        "other": ({"mu": mean, "sigma": covariance, "extractor": np.array(["Other-1"])}, "statistics by Other-1"),
        "nan": ({"mu": mean, "sigma": spoilt}, "not finite"),
        "skewed": ({"mu": mean, "sigma": skewed}, "not symmetric"),
        "negative": ({"mu": mean, "sigma": -covariance}, "negative variances"),
        "neither": ({"means": mean}, "neither images (arr_0) nor statistics"),
        "reps": ({"reps": np.zeros((9, 5))}, "statistics of 5 features where the extractor has 64"),
        "infinite": ({"reps": np.full((9, 64), np.inf)}, "features that are not finite"),
        "narrow": ({"mu": mean, "sigma": np.eye(64)[:, :5]}, "it is no covariance"),
        "floats": ({"arr_0": np.zeros((4, 8, 8, 3))}, "it holds arr_0 of float64; needed are unsigned integers"),
        "layout": ({"arr_0": np.zeros((4, 3, 8, 8), np.uint8)}, "images of 8 channels"),
    }
    for name, (arrays, expected) in archives.items():
        np.savez(tmp_path / f"{name}.npz", **arrays)
        assert expected in refused("evaluate", "real", f"{name}.npz", *BY_DIGITS), name
    np.savez(tmp_path / "pickle.npz", mu=np.array([print, print], dtype=object), sigma=covariance)
    assert "cannot be used" in refused("evaluate", "real", "pickle.npz", *BY_DIGITS)
    (tmp_path / "text.npz").write_text("none")
    assert "no NumPy archive" in refused("evaluate", "real", "text.npz", *BY_DIGITS)
    np.savez(tmp_path / "good.npz", mu=mean, sigma=covariance)
    with monkeypatch.context() as patch:
        patch.setattr("gen_experiments.commands.evaluate.features_of", None)  # it is said before a pass over the images
        assert "kid needs images, not stat" in refused("evaluate", "real", "good.npz", *BY_DIGITS, "--metrics=[kid]")
        assert "is needs images, not stat" in refused("evaluate", "good.npz", "real", *BY_DIGITS, "--metrics=[is]")
    assert "holds statistics" in refused("evaluate", checkpoints["vqvae"], "good.npz")
    assert "ends in .npz" in refused("stats", "real", "--out=stats.json", *BY_DIGITS)
    assert "holds statistics already" in refused("stats", "good.npz", "--out=s.npz", *BY_DIGITS)
