"""The command line: from the words of a command to a call of its function, or of LightningCLI.

- `dispatch`: which function is called, with which arguments;
- `trainer_commands`, `experiment`: LightningCLI, for what trains or needs a trainer; `pipes`: files that can be read
  only once;
- `parser`, `class_paths`: options and YAML to values and objects, also those that a checkpoint describes;
- `mistakes`, `reporting`: what went wrong, in one line; `printing`: which process prints it; `stopping`: signals.
"""
