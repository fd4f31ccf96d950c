"""Commands: plain typed functions, each in the file of its name; `decode` is in `encode`, `damage` in `restore`.

The others hold what commands share:

- `devices`, `labels`, `training_data`: devices and processes, classes by name, the data that a checkpoint has seen;
- `decoding`: how a prior draws codes, if not as in training;
- `image_files`, `reading`: pictures of folders, read as the run of a checkpoint reads them, and written;
- `outputs`, `tiles`: what a model makes of the pictures of a folder;
- `evaluating`: the parts of `evaluate`;
- `rescoring`: runs that `compare` lets `evaluate` score again;
- `programs`: the formats of `export`; `demo_pages`: the page of `demo`.
"""
