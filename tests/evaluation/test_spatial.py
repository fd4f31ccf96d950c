"""sFID and the statistics of guided-diffusion (ADM), by random weights in the format of the real ones."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from gen_experiments.metrics.features import InceptionFeatures
from pictures_on_disk import write_pictures


@pytest.fixture
def by_inception(inception_weights):
    described = {"class_path": "InceptionFeatures", "init_args": {"weights": str(inception_weights)}}
    return f"--extractor={json.dumps(described)}"


def restated(weights, images):
    """The features of ADM's evaluator from plain convolutions: `mixed_6/conv:0` is the first branch of Mixed_6d."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    network = FeatureExtractorInceptionV3("any", ["2048"], feature_extractor_weights_path=str(weights))
    held = torch.load(weights, weights_only=True)
    values = {}
    network.Mixed_6c.register_forward_hook(lambda module, inputs, output: values.update(before=output.clone()))
    with torch.no_grad():
        pooled = network(images)[0]
    prefix = "Mixed_6d.branch1x1."
    maps = np.einsum("nchw,oc->nhwo", values["before"].double(), held[prefix + "conv.weight"][:, :, 0, 0].double())
    mean, variance, scale, shift = (
        held[prefix + f"bn.{name}"].double().numpy() for name in ("running_mean", "running_var", "weight", "bias")
    )
    maps = np.maximum((maps - mean) / np.sqrt(variance + 0.001) * scale + shift, 0)
    assert maps.shape[1:] == (17, 17, 192)
    return pooled.numpy(), maps[..., :7].reshape(len(images), -1)


def pictures(count, seed, brightest):
    source = np.random.default_rng(seed)
    coarse = source.integers(0, brightest, (count, 3, 4, 4)).astype(np.uint8)
    return torch.from_numpy(coarse.repeat(8, axis=2).repeat(8, axis=3))


def test_spatial_features_are_those_of_adms_graph(inception_weights, monkeypatch):
    monkeypatch.setattr(InceptionFeatures, "cpu_pass", 2)  # so that three images take two passes
    images = pictures(3, 0, 255)
    network = InceptionFeatures(str(inception_weights))
    features, spatial = network.with_spatial(images)
    pooled, expected = restated(inception_weights, images)
    np.testing.assert_allclose(features.numpy(), pooled, rtol=1e-4, atol=1e-6)
    assert expected.std() > 0.01
    np.testing.assert_allclose(spatial.numpy(), expected, rtol=1e-3, atol=1e-5)
    assert InceptionFeatures(str(inception_weights), "clean").with_spatial(images)[1].shape == (3, 0)


def write_archive(path, images, **arrays):
    """Writes images as ADM does, (N, H, W, C)."""
    np.savez(path, arr_0=images.numpy().transpose(0, 2, 3, 1), **arrays)


def distance_of_few(first, second):
    """FID of fewer rows than dimensions: tr((Σ₁Σ₂)^½) is the nuclear norm of A Bᵀ of the centred, scaled rows."""
    first, second = first.astype(np.float64), second.astype(np.float64)
    rows = [(each - each.mean(0)) / np.sqrt(len(each) - 1) for each in (first, second)]
    cross = np.linalg.svd(rows[0] @ rows[1].T, compute_uv=False).sum()
    return ((first.mean(0) - second.mean(0)) ** 2).sum() + sum((each**2).sum() for each in rows) - 2 * cross


def test_an_adm_reference_is_compared_by_its_statistics(experiment, inception_weights, by_inception, capsys):
    fake, shown, real = pictures(5, 1, 200), pictures(3, 2, 90), pictures(6, 0, 255)
    write_archive("fake.npz", fake)
    sides = [restated(inception_weights, images) for images in (fake, real)]
    moments = {
        name + end: of(rows.astype(np.float64))
        for end, rows in zip(("", "_s"), sides[1], strict=True)
        for name, of in (("mu", lambda x: x.mean(0)), ("sigma", lambda x: np.cov(x, rowvar=False)))
    }
    # Beside the statistics of all images a reference shows some of them, for precision and recall: here others.
    write_archive("reference.npz", shown, **moments)
    command = ("evaluate", "fake.npz", "reference.npz", by_inception, "--json=record.json")
    assert experiment(*command, "--metrics=[fid,sfid]") == 0
    found = {name: each["value"] for name, each in json.loads(Path("record.json").read_text())["scores"].items()}
    for name, own, theirs in zip(("fid", "sfid"), *sides, strict=True):
        assert found[name] == pytest.approx(distance_of_few(own, theirs), rel=1e-4), name
    assert "mu and sigma in reference.npz are taken for FID by InceptionFeatures" in capsys.readouterr().out


def test_stats_writes_what_adm_reads(experiment, inception_weights, by_inception, capsys):
    images = pictures(5, 0, 255)
    write_archive("real.npz", images)
    assert experiment("stats", "real.npz", "--out=ours.npz", "--spatial", by_inception) == 0
    assert "mu, sigma, mu_s and sigma_s of 5 images" in capsys.readouterr().out
    with np.load("ours.npz") as held:
        for end, rows in zip(("", "_s"), restated(inception_weights, images), strict=True):
            expected = np.cov(rows.astype(np.float64), rowvar=False)
            np.testing.assert_allclose(held["mu" + end], rows.mean(0), rtol=1e-3, atol=1e-4)
            np.testing.assert_allclose(held["sigma" + end], expected, rtol=1e-3, atol=1e-3 * expected.max())
    assert experiment("evaluate", "real.npz", "ours.npz", by_inception, "--metrics=[sfid]", "--json=record.json") == 0
    found = json.loads(Path("record.json").read_text())["scores"]["sfid"]["value"]
    assert found == pytest.approx(0, abs=1e-4 * expected.trace())


def test_what_has_no_sfid_is_said(refused, tmp_path):
    write_pictures(tmp_path / "real", count=12, size=(16, 16))
    digits = ("--extractor=DigitsFeatures", "--extractor.any_images=true")
    assert "sfid is by InceptionFeatures" in refused("evaluate", "real", "real", *digits, "--metrics=[sfid]")
    assert "--spatial is for moments by InceptionFeatures" in refused(
        "stats", "real", "--out=s.npz", "--spatial", *digits
    )


def test_statistics_of_another_extractor_are_passed_over(experiment, capsys):
    write_archive("reference.npz", pictures(12, 0, 255), mu=np.zeros(2048), sigma=np.eye(2048))
    write_archive("images.npz", pictures(12, 0, 255))
    write_archive("fake.npz", pictures(12, 1, 200))
    command = ("--extractor=DigitsFeatures", "--extractor.any_images=true", "--metrics=[fid]", "--json=record.json")
    values = []
    for name in ("reference.npz", "images.npz"):
        assert experiment("evaluate", "fake.npz", name, *command) == 0
        values.append(json.loads(Path("record.json").read_text())["scores"]["fid"]["value"])
    assert values[0] == values[1]
    said = capsys.readouterr().out
    assert said.count("the statistics in reference.npz are passed over: DigitsFeatures") == 1
