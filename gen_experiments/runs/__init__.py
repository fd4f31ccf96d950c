"""A run: its folder and identity, its checkpoint files, and the signals that stop it.

- `start`: the folder and checkpoint that a command starts from; `folder`: how they are found; `record`: the file
  `run.json`; `lock`: one writer a run; `location`: where a trainer's run writes;
- `job`, `signals`: what launchers and signals ask for; `checkpoint_files`: checkpoints, written whole and found;
- `table`: CSV files that grow; `logged`: which logged values are new.
"""
