"""Callbacks: what happens beside training.

- `evaluation`, `alarms`, `shares`: the scores of a validation, its warnings and checks; `best`: which score chooses the
  best checkpoint; `comparison`: what scores are measured by; `scores`: the file `scores.csv`;
- `pictures`, `codes`, `tables`, `predictions`: images that are drawn, logged or written;
- `csv_logger`, `wandb_logger`, `wandb_client`, `wandb_rows`, `tracking`: the loggers and what they get beside scores;
- `interruption`, `resumption`, `changes`, `checkpoint_io`, `nonfinite`, `divergence`: how a run stops, goes on (also
  with other images) and keeps its checkpoints;
- `progress`, `throughput`, `cost`, `plan`, `summary`: how far and how fast a run is, what it takes, and its result;
- `protocols`: what callbacks and commands expect of a model; `lookups`: what they look up in a trainer; `no_effect`:
  warnings of options that nothing reads.
"""
