"""Reports: pages about runs, made from their folders alone.

- `page`: the page; `evaluations`, `tables`: parts of it; `run_data`: reads the folder of a run.
"""
