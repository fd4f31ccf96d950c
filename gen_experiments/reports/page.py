"""A self-contained page: curves, pictures, scores and configurations of runs."""

import base64
import html
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gen_experiments.reports.evaluations import evaluations
from gen_experiments.reports.run_data import RunData
from gen_experiments.reports.tables import table
from gen_experiments.units import with_unit

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")  # Okabe and Ito, 2008
VALUES = ("last", "smallest", "largest")
# What Lightning's Trainer takes for null.
UNSET = {"trainer.precision": "32-true", "trainer.num_sanity_val_steps": "2", "trainer.log_every_n_steps": "50"}
UNSET |= {f"trainer.enable_{name}": "True" for name in ("checkpointing", "progress_bar", "model_summary")}
UNSET |= {f"trainer.limit_{name}_batches": "1.0" for name in ("train", "val", "test", "predict")}
UNSET |= {"trainer.val_check_interval": "1.0"}
STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 1180px; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a }
h1 { font-size: 1.6rem } h2 { font-size: 1.2rem; margin-top: 2.2rem; border-bottom: 1px solid #ddd }
table { border-collapse: collapse; display: block; overflow-x: auto; font-variant-numeric: tabular-nums }
th, td { text-align: left; padding: .25rem .7rem; border-bottom: 1px solid #eee; vertical-align: top }
.curves { display: grid; grid-template-columns: repeat(auto-fill, minmax(500px, 1fr)); gap: .5rem }
.pictures { display: flex; flex-wrap: wrap; gap: 1.5rem } .pictures img { max-width: 540px; image-rendering: pixelated }
figure { margin: 0 } input[type=range] { width: 100% } .dot { font-size: 1.3em; line-height: 0 }
"""
SLIDER = """
document.querySelectorAll("figure[data-steps]").forEach(figure => {
  const steps = JSON.parse(figure.dataset.steps), images = figure.querySelectorAll("img");
  const range = figure.querySelector("input"), caption = figure.querySelector("output");
  const show = () => {
    images.forEach((image, number) => { image.hidden = number != range.value; });
    caption.textContent = "iteration " + steps[range.value];
  };
  range.addEventListener("input", show); show();
});
"""


def page(runs: Sequence[RunData], records: Sequence[dict[str, Any] | None]) -> str:
    """Returns the HTML of a report.

    Args:
        runs: the runs, in the order of the page.
        records: the evaluation of each run, as `evaluate` has written it; None for none.
    """
    from plotly.offline import get_plotlyjs

    title = "Report of " + (runs[0].name if len(runs) == 1 else f"{len(runs)} runs")
    sections = [
        ("Runs", _legend(runs)),
        ("Last and best values", _values(runs)),
        ("Evaluations", evaluations(runs, records)),
        ("Pictures over time", "".join(_pictures(run) for run in runs)),
        ("Curves over images seen", _curves(runs)),
        ("What differs between the configurations", _differences(runs)),
    ]
    body = "".join(f"<h2>{html.escape(name)}</h2>{content}" for name, content in sections if content)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f'<link rel="icon" href="data:,"><style>{STYLE}</style><script>{get_plotlyjs()}</script></head>'
        f"<body><h1>{html.escape(title)}</h1>{body}<script>{SLIDER}</script></body></html>"
    )


def _legend(runs: Sequence[RunData]) -> str:
    items = (
        f'<li><span class="dot" style="color:{COLOURS[number % len(COLOURS)]}">●</span> {html.escape(run.name)}</li>'
        for number, run in enumerate(runs)
    )
    return f"<ul>{''.join(items)}</ul>"


def _values(runs: Sequence[RunData]) -> str:
    rows = []
    for name in _metrics(runs, "val/", "test/"):
        row = [with_unit(name)]
        for run in runs:
            _, values = run.curves.get(name, ([], []))
            known = [value for value in values if not math.isnan(value)] or values
            row += [f"{values[-1]:.6g}", f"{min(known):.6g}", f"{max(known):.6g}"] if values else ["", "", ""]
        rows.append(row)
    numbers = [f" ({number})" if len(runs) > 1 else "" for number in range(1, len(runs) + 1)]
    header = [value + number for number in numbers for value in VALUES]
    return table(["metric", *header], rows) if rows else ""


def _curves(runs: Sequence[RunData]) -> str:
    from plotly import graph_objects
    from plotly.io import to_html

    figures = []
    for name in _metrics(runs, "val/", "test/", "train/", ""):
        lines = []
        for number, run in enumerate(runs):
            if name in run.curves:
                x, y = run.curves[name]
                mode = "lines+markers" if len(x) < 40 else "lines"
                line = {"color": COLOURS[number % len(COLOURS)], "width": 1.5}
                lines.append(graph_objects.Scatter(x=x, y=y, name=run.name, mode=mode, line=line))
        layout = {"title": with_unit(name), "xaxis_title": "images seen", "height": 300, "showlegend": False}
        figure = graph_objects.Figure(lines, layout | {"margin": {"l": 55, "r": 15, "t": 40, "b": 40}})
        figures.append(to_html(figure, include_plotlyjs=False, full_html=False, config={"responsive": True}))
    return f'<div class="curves">{"".join(figures)}</div>'


def _pictures(run: RunData) -> str:
    figures = []
    for kind, pictures in run.pictures.items():
        steps = html.escape(json.dumps([step for step, _ in pictures]))
        images = "".join(
            f'<img alt="{html.escape(kind)} at {step}" src="{_data_url(path)}">' for step, path in pictures
        )
        last = len(pictures) - 1
        figures.append(
            f'<figure data-steps="{steps}"><figcaption>{html.escape(kind)}, <output></output></figcaption>{images}'
            f'<input type="range" aria-label="iteration" min="0" max="{last}" value="{last}"></figure>'
        )
    return f'<h3>{html.escape(run.name)}</h3><div class="pictures">{"".join(figures)}</div>' if figures else ""


def _differences(runs: Sequence[RunData]) -> str:
    keys = sorted(set().union(*(run.config for run in runs)))
    rows = [[key, *(str(run.config.get(key, "")) for run in runs)] for key in keys]
    meant = [{UNSET.get(key, value) if value == "None" else value for value in values} for key, *values in rows]
    differing = [row for row, values in zip(rows, meant, strict=True) if len(values) > 1]
    if len(runs) == 1:
        return f"<details><summary>{len(rows)} values</summary>{table(['key', 'value'], rows)}</details>"
    return table(["key", *(run.name for run in runs)], differing) if differing else "<p>Nothing.</p>"


def _metrics(runs: Sequence[RunData], *prefixes: str) -> list[str]:
    """Returns the names of the runs' metrics in the order of the prefixes."""
    names = sorted(set().union(*(run.curves for run in runs)))
    return list(dict.fromkeys(name for prefix in prefixes for name in names if name.startswith(prefix)))


def _data_url(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
