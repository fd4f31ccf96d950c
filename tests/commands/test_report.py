"""The page about runs: self-contained, and with the numbers of their files."""

import base64
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest
import yaml
from lightning.pytorch import Trainer

import independent

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Page(HTMLParser):
    """The texts of table cells, and what a page refers to."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.sources, self._cell = [], [], False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.sources += [value for name, value in attributes if name in ("src", "href")]
        if tag == "tr":
            self.rows.append([])
        self._cell = tag in ("td", "th")
        if self._cell:
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        self._cell = False

    def handle_data(self, data):
        if self._cell:
            self.rows[-1][-1] += data

    def row(self, name):
        (found,) = [row for row in self.rows if row and row[0] == name]
        return found


@pytest.fixture
def runs(checkpoints, tmp_path):
    """Copies of the runs of a GAN and a VQ-VAE."""
    for name in ("gan", "vqvae"):
        shutil.copytree(checkpoints[name].parent.parent, tmp_path / name)
    return tmp_path


def test_the_page_shows_the_last_numbers(runs, experiment):
    assert experiment("report", "gan", "vqvae") == 0
    page = Page((runs / "report.html").read_text())
    (fid,) = independent.column("gan/metrics.csv", "val/fid")
    (psnr,) = independent.column("vqvae/metrics.csv", "val/psnr")
    assert page.row("val/fid")[1:] == [f"{fid:.6g}"] * 3 + [""] * 3
    assert page.row("val/psnr (dB)")[1:] == [""] * 3 + [f"{psnr:.6g}"] * 3
    values = ("last", "smallest", "largest")
    assert page.row("metric") == ["metric", *(f"{value} ({number})" for number in (1, 2) for value in values)]


def test_the_last_value_is_the_last_of_several(runs, experiment):
    (runs / "gan" / "metrics.csv").write_text("images_seen,val/fid\n,9.5\n10,3.5\n20,1.25\n30,2.75\n")
    assert experiment("report", "gan", "gan") == 0  # named twice, shown once
    page = Page((runs / "report.html").read_text())
    assert page.row("val/fid") == ["val/fid", "2.75", "1.25", "3.5"]
    assert page.row("metric") == ["metric", "last", "smallest", "largest"]


def test_a_value_that_was_no_number_is_neither_the_smallest_nor_the_largest(runs, experiment):
    rows = "".join(f"{number},{value}\n" for number, value in enumerate(["nan", "3", "inf", "2.5", "nan"]))
    (runs / "gan" / "metrics.csv").write_text("images_seen,val/fid\n" + rows)
    assert experiment("report", "gan") == 0
    assert Page((runs / "report.html").read_text()).row("val/fid")[1:] == ["nan", "2.5", "inf"]
    (runs / "gan" / "metrics.csv").write_text("images_seen,val/fid\n10,nan\n")
    assert experiment("report", "gan") == 0
    assert Page((runs / "report.html").read_text()).row("val/fid")[1:] == ["nan"] * 3


def test_the_page_needs_nothing_else(runs, experiment):
    assert experiment("report", "gan", "--out=pages/gan.html") == 0
    page = Page((runs / "pages" / "gan.html").read_text())
    assert all(source.startswith("data:") for source in page.sources)
    embedded = [source for source in page.sources if source.startswith("data:image")]
    pictures = [base64.b64decode(source.partition(",")[2]) for source in embedded]
    assert pictures == [path.read_bytes() for path in sorted((runs / "gan" / "images").glob("*.png"))]


def test_curves_are_those_of_the_file(runs, experiment):
    assert experiment("report", "vqvae") == 0
    text = (runs / "report.html").read_text()
    losses = independent.column("vqvae/metrics.csv", "train/loss")
    seen = independent.column("vqvae/metrics.csv", "images_seen")[: len(losses)]
    drawn = [json.loads(found) for found in re.findall(r'Plotly\.newPlot\(\s*"[^"]+",\s*(\[.*?\]),\s*\{"', text)]
    assert any(lines[0]["y"] == losses and lines[0]["x"] == seen for lines in drawn)


def test_a_curve_has_the_colour_of_its_run_and_points_while_they_are_few(runs, experiment):
    for name, count in (("gan", 39), ("vqvae", 40)):
        rows = "".join(f"{number},{number / 2}\n" for number in range(count))
        (runs / name / "metrics.csv").write_text(f"images_seen,val/fid\n{rows}")
    assert experiment("report", "gan", "vqvae") == 0
    text = (runs / "report.html").read_text()
    named = re.findall(r'style="color:(#\w+)">●</span> (\w+)<', text)
    (drawn,) = re.findall(r'Plotly\.newPlot\(\s*"[^"]+",\s*(\[.*?\]),\s*\{"', text)
    lines = json.loads(drawn)
    assert (
        [(line["line"]["color"], line["name"]) for line in lines]
        == named
        == [(named[0][0], "gan"), (named[1][0], "vqvae")]
    )
    assert named[0][0] != named[1][0]
    assert [line["mode"] for line in lines] == ["lines+markers", "lines"]
    assert '"xaxis":{"title":{"text":"images seen"}}' in text


def test_evaluations_are_shown_with_their_protocol(runs, experiment):
    assert experiment("evaluate", "gan", "--num=60", "--metrics=[fid,recall]", "--bootstrap=40") == 0
    assert experiment("report", "gan") == 0
    score = json.loads((runs / "gan" / "evaluation.json").read_text())["scores"]["fid"]
    page = Page((runs / "report.html").read_text())
    assert page.row("fid") == ["fid", f"{score['value']:.6g}", "{:.6g} to {:.6g}".format(*score["interval"])]
    assert page.row("evaluated: count") == ["evaluated: count", "60"]


def test_scores_by_other_extractors_and_of_each_damage_are_shown(runs, experiment):
    def record(extractor, fid):
        sides = {"evaluated": {"kind": "run", "seed": None}, "reference": {"kind": "split"}}
        return {"scores": {"fid": {"value": fid, "settings": {}}}, "protocol": sides | {"extractor": extractor}}

    def damaged(deviations, psnr):
        noise = {"class_path": "a.GaussianNoise", "init_args": {"deviation": deviations}}
        return {"damage": noise, "scores": {"psnr": psnr}}

    kinds = [damaged([0.1, 0.1], {"value": 20.5}), damaged([0.4, 0.5], {"value": 10.25, "interval": [10.0, 10.5]})]
    held = record("Inception", 3.5) | {"by_other_extractors": [record("<DINO>", 7.25)], "by_damage": kinds}
    held["by_other_extractors"][0]["scores"]["fid"] |= {"deviation": 0.25}
    (runs / "gan" / "evaluation.json").write_text(json.dumps(held))
    assert experiment("report", "gan") == 0
    text = (runs / "report.html").read_text()
    page = Page(text)
    assert [row[1] for row in page.rows if row[0] == "fid"] == ["3.5", "7.25 ± 0.25"]
    assert "<h4>by &lt;DINO&gt;</h4>" in text
    assert [row[0] for row in page.rows if row[0].startswith("evaluated: ")] == ["evaluated: kind"] * 2
    assert page.row("damage of all images") == ["damage of all images", "psnr (dB)"]
    assert "<p>outside of" not in text
    held["scores"]["fid"] |= {"interval": [1.0, 3.0]}
    (runs / "gan" / "evaluation.json").write_text(json.dumps(held))
    assert experiment("report", "gan") == 0
    assert "<p>outside of its 95% interval: fid; " in (runs / "report.html").read_text()
    assert page.row("GaussianNoise, deviation 0.1") == ["GaussianNoise, deviation 0.1", "20.5"]
    assert page.row("GaussianNoise, deviation [0.4, 0.5]")[1:] == ["10.25 (10 to 10.5)"]


def test_only_what_differs_between_configurations_is_shown(runs, experiment):
    shutil.copytree("gan", "other")
    config = yaml.safe_load((runs / "other" / "config.yaml").read_text())
    config["model"]["init_args"]["n_critic"] = "<b>3</b>"
    config["model"]["init_args"]["loss"] = {"class_path": "mylab.Loss", "init_args": {}}
    assert config["trainer"]["precision"] is None
    config["trainer"] |= {"precision": "32-true", "limit_train_batches": 1.0, "limit_test_batches": 1, "plugins": []}
    (runs / "other" / "config.yaml").write_text(yaml.safe_dump(config))
    assert experiment("report", "gan", "other") == 0
    page = Page((runs / "report.html").read_text())
    assert page.row("model.n_critic") == ["model.n_critic", "1", "<b>3</b>"]
    assert page.row("model.loss")[2] == "mylab.Loss"
    assert page.row("trainer.plugins") == ["trainer.plugins", "None", "[]"]
    # Null is another word for these values, but not for one batch.
    assert page.row("trainer.limit_test_batches") == ["trainer.limit_test_batches", "None", "1"]
    same = {"data.batch_size", "trainer.precision", "trainer.limit_train_batches"}
    assert not [row for row in page.rows if row and row[0] in same]


def test_null_is_another_word_for_what_lightning_takes_for_it(runs, experiment):
    trainer = Trainer(accelerator="cpu", logger=False)
    names = ["precision", "num_sanity_val_steps", "log_every_n_steps", "val_check_interval"]
    names += [f"limit_{split}_batches" for split in ("train", "val", "test", "predict")]
    taken = {name: getattr(trainer, name) for name in names}
    taken |= {"enable_checkpointing": bool(trainer.checkpoint_callback)}
    taken |= {"enable_progress_bar": bool(trainer.progress_bar_callback), "enable_model_summary": True}
    shutil.copytree("gan", "other")
    config = yaml.safe_load((runs / "gan" / "config.yaml").read_text())
    for name, values in (("gan", dict.fromkeys(taken)), ("other", taken)):
        config["trainer"] |= values
        (runs / name / "config.yaml").write_text(yaml.safe_dump(config))
    assert experiment("report", "gan", "other") == 0
    assert "<p>Nothing.</p>" in (runs / "report.html").read_text()


def test_what_cannot_be_reported_is_said(runs, refused):
    (runs / "empty").mkdir()
    shutil.copy("gan/config.yaml", "empty")
    shutil.copytree("gan", "damaged")
    (runs / "damaged" / "metrics.csv").write_text("images_seen,val/fid\n1,much\n")
    for words, expected in {
        ("nowhere",): "nowhere is no folder of a run",
        ("empty",): "empty has no curves yet",
        ("damaged",): "metrics.csv is damaged",
        ("gan", "--out=report.pdf"): "ends in .html, not to report.pdf",
        (): "the following arguments are required: runs",
    }.items():
        assert expected in refused("report", *words), words


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")
def test_a_browser_draws_it_without_an_error(runs, experiment):
    assert experiment("report", "gan", "vqvae") == 0
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom"]
    options = ["--virtual-time-budget=8000", f"--user-data-dir={runs / 'profile'}", f"file://{runs / 'report.html'}"]
    shown = subprocess.run([*command, *options], capture_output=True, text=True, timeout=120, check=True)
    assert "Uncaught" not in shown.stderr
    assert "Refused" not in shown.stderr
    steps = sorted(int(path.stem.split("-")[-1]) for path in (runs / "gan" / "images").glob("samples-*.png"))
    assert f"<output>iteration {steps[-1]}</output>" in shown.stdout
    curves = len({*metrics_of("gan"), *metrics_of("vqvae")})
    assert len(re.findall(r'class="[^"]*js-plotly-plot', shown.stdout)) == curves


def metrics_of(run):
    """The metrics that a run has values of."""
    with open(f"{run}/metrics.csv") as file:
        names = file.readline().strip().split(",")
    metrics = [name for name in names if name not in ("epoch", "step", "images_seen")]
    return [name for name in metrics if independent.column(f"{run}/metrics.csv", name)]
