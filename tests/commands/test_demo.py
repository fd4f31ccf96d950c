"""The page of `demo`: what its tabs make, and the page itself in a browser."""

import io
import os
import re
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

import gen_experiments
from conftest import CONFIGS, SHORT, SMALL
from exported_models import of_classes, write_livened
from gen_experiments.commands.demo_pages import STEPS, draw_samples, proposals, remade, sheet, way
from gen_experiments.errors import UserError
from gen_experiments.grids import grid
from gen_experiments.images import to_uint8
from gen_experiments.models.sampling import sample_rngs
from pictures_on_disk import write_pictures

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def livened(contents, tmp_path_factory):
    """Checkpoints of models whose images differ from each other."""
    folder = tmp_path_factory.mktemp("livened")
    described = {name: contents[name]["hyper_parameters"] for name in ("gan", "vqvae", "prior")}
    described["classes"] = of_classes(described["gan"])
    return {name: write_livened(held, folder / f"{name}.ckpt", gain=2.0) for name, held in described.items()}


@torch.inference_mode()
def test_samples_are_those_of_the_seed(livened):
    gan = gen_experiments.load(livened["gan"])
    assert torch.equal(draw_samples(gan, None, 7, 3, 1.0), to_uint8(gan.sample(0, 3, seed=7)))
    prior = gen_experiments.load(livened["prior"])
    labels = torch.tensor([4, 4])
    assert torch.equal(draw_samples(prior, 4, 7, 2, 0.5), to_uint8(prior.sample(0, 2, 7, labels, 0.5)))


@torch.inference_mode()
def test_a_way_leads_from_one_seed_to_the_other(livened):
    gan = gen_experiments.load(livened["gan"])
    images = way(gan, None, 5, 6)
    assert images.shape == (STEPS, 1, 32, 32)
    for image, seed in ((images[0], 5), (images[-1], 6)):
        expected = to_uint8(gan(gan.noise(sample_rngs(0, 1, seed))))[0]
        assert (image.int() - expected.int()).abs().max() <= 1
    assert (images[0].int() - images[-1].int()).abs().max() > 20
    gan = gen_experiments.load(livened["classes"])
    for label in (None, 3):
        first = draw_samples(gan, label, 5, 1, 1.0)[0]
        assert (way(gan, label, 5, 6)[0].int() - first.int()).abs().max() <= 1


@torch.inference_mode()
def test_a_picture_stands_beside_what_is_made_of_it(livened):
    picture = torch.randint(0, 256, (1, 32, 32), dtype=torch.uint8)
    pair = remade(gen_experiments.load(livened["vqvae"]), picture)
    assert pair.shape == (2, 1, 32, 32)
    assert torch.equal(pair[0], picture)
    assert not torch.equal(pair[1], picture)


@torch.inference_mode()
def test_fillings_keep_what_is_outside_of_the_box(livened):
    prior = gen_experiments.load(livened["prior"])
    picture = torch.randint(0, 256, (1, 32, 32), dtype=torch.uint8)
    made = proposals(prior, picture, (4, 8, 20, 30), None, 3)
    outside = torch.ones(32, 32, dtype=torch.bool)
    outside[8:30, 4:20] = False
    assert all(torch.equal(image[0, outside], picture[0, outside]) for image in made)
    assert (made[1, 0, ~outside] == 128).all()
    assert len({image.numpy().tobytes() for image in made}) == 5
    # What the box covers has no influence on its fillings.
    other = torch.where(outside, picture, 255 - picture)
    assert torch.equal(proposals(prior, other, (4, 8, 20, 30), None, 3)[1:], made[1:])
    with pytest.raises(UserError, match="the box covers nothing"):
        proposals(prior, picture, (20, 8, 4, 30), None, 3)


def test_small_sheets_are_enlarged_pixel_by_pixel():
    images = torch.randint(0, 256, (2, 1, 8, 8), dtype=torch.uint8)
    pixels = sheet(images, 2)
    laid = grid(images, 2)[0].numpy()
    times = 512 // max(laid.shape)
    assert pixels.shape == (laid.shape[0] * times, laid.shape[1] * times, 3)
    assert all(np.array_equal(pixels[times // 2 :: times, times // 2 :: times, channel], laid) for channel in range(3))


def test_mistakes_get_one_line(refused, experiment, checkpoints, monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)  # as if it were not installed
    assert "pip install 'gen-experiments[demo]'" in refused("demo", checkpoints["gan"])
    monkeypatch.undo()


@pytest.fixture
def served(tmp_path):
    """Starts the demo of a checkpoint in a process of its own; gives the process and its address."""
    started = []

    def start(checkpoint):
        (tmp_path / "temporary").mkdir(exist_ok=True)
        process = subprocess.Popen(
            [sys.executable, "-m", "gen_experiments", "demo", str(checkpoint)],
            env={**os.environ, "TMPDIR": str(tmp_path / "temporary"), "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
        )
        started.append(process)
        line = process.stdout.readline()
        return process, re.fullmatch(rf"serving {checkpoint} at (http://127\.0\.0\.1:\d+/) until Ctrl-C\n", line)[1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.long
@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")
def test_in_a_browser(served, livened, tmp_path):
    playwright = pytest.importorskip("playwright.sync_api")
    write_pictures(tmp_path / "pictures", 1, size=(40, 30), mode="RGB")
    foreign = []

    def shown(page, name):
        """Presses a button, and returns the picture that comes then."""
        page.click(f"#{name}-button")
        page.wait_for_selector(f"#{name}-result img", timeout=60_000)
        answer = page.request.get(page.get_attribute(f"#{name}-result img", "src"))
        return np.asarray(Image.open(io.BytesIO(answer.body())).convert("RGB"))

    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        pages = {}
        for name, path in livened.items():
            process, address = served(path)
            page = browser.new_page()
            page.on("request", lambda request: foreign.append(request.url))
            page.goto(address)
            page.wait_for_selector("button[role=tab]")
            pages[name] = page, process
        tabs = {name: page.locator("button[role=tab]").all_inner_texts() for name, (page, _) in pages.items()}
        assert tabs["gan"] == ["Sample", "Interpolate"]
        assert tabs["vqvae"] == ["Reconstruct"]
        assert tabs["prior"] == ["Sample", "Inpaint"]

        page, process = pages["gan"]
        page.get_by_label("seed").first.fill("7")
        with torch.inference_mode():
            gan = gen_experiments.load(livened["gan"])
            assert np.array_equal(shown(page, "sample"), sheet(draw_samples(gan, None, 7, 16, 1.0)))
            page.get_by_role("tab", name="Interpolate").click()
            assert np.array_equal(shown(page, "interpolate"), sheet(way(gan, None, 0, 1), STEPS))

        page, _ = pages["vqvae"]
        page.click("#reconstruct-button")
        page.get_by_text("give it a picture first").wait_for(timeout=60_000)
        page.locator("input[type=file]").set_input_files(str(tmp_path / "pictures" / "000.png"))
        page.wait_for_selector("[data-testid=image] img", timeout=60_000)
        assert shown(page, "reconstruct").std() > 10

        page, _ = pages["prior"]
        page.get_by_role("tab", name="Inpaint").click()
        page.locator("input[type=file]").set_input_files(str(tmp_path / "pictures" / "000.png"))
        page.wait_for_selector("[data-testid=image] img", timeout=60_000)
        assert shown(page, "inpaint").std() > 10
        browser.close()
    assert foreign
    assert all(url.startswith(("http://127.0.0.1:", "data:", "blob:")) for url in foreign), "the page asks elsewhere"
    for _, process in pages.values():
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=60)[1]
        assert process.returncode == 143, said
        assert "Traceback" not in said
    assert not [path for path in (tmp_path / "temporary").rglob("*") if path.suffix == ".png"]


@pytest.mark.long
def test_a_picture_is_framed_as_the_run_did(served, experiment, tmp_path):
    client = pytest.importorskip("gradio_client")
    write_pictures(tmp_path / "in", 40, size=(60, 20), mode="L")
    data = ["--data.source=ImageFolder", f"--data.source.root={tmp_path / 'in'}", "--data.source.channels=1"]
    data += ["--data.size=16", "--data.crop=none", "--data.filter=box", "--evaluation.extractor=null"]
    assert experiment("fit", *SMALL["vqvae"], *SHORT, *data, "--trainer.max_steps=1") == 0
    last = tmp_path / "runs" / "vqvae" / "version_0" / "checkpoints" / "last.ckpt"
    _, address = served(last)
    file = client.handle_file(tmp_path / "in" / "000.png")
    answer = client.Client(address, verbose=False).predict(file, api_name="/reconstruct")
    expected = Image.open(tmp_path / "in" / "000.png").resize((16, 16), Image.Resampling.BOX)
    with torch.inference_mode():
        pair = remade(gen_experiments.load(last), torch.from_numpy(np.array(expected))[None])
    assert np.array_equal(np.asarray(Image.open(answer).convert("RGB")), sheet(pair, 2))


@pytest.mark.long
def test_a_model_that_shows_nothing_and_a_port_that_is_taken(served, refused, experiment, livened, tmp_path):
    pytest.importorskip("gradio")
    _, address = served(livened["gan"])
    port = re.search(r":(\d+)/", address)[1]
    assert f"cannot serve at port {port}" in refused("demo", livened["gan"], f"--port={port}")
    quick = ["--model.network.width=8", "--trainer.max_steps=1", "--data.size=16", "--run.name=extractor"]
    assert experiment("fit", f"--config={CONFIGS / 'extractor.yaml'}", *quick) == 0
    classifier = tmp_path / "runs" / "extractor" / "version_0"
    assert "holds a Classifier, which can neither sample nor reconstruct" in refused("demo", classifier)
