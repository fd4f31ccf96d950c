"""Commands: plain typed functions. Each has a file of its name; `decode` stands in `encode`, `damage` in `restore`.

What several need stands beside them:

- `devices`, `labels`, `training_data`: where it is computed, classes by name, what a checkpoint was trained on;
- `pictures`, `reading`: pictures of folders, read as the run of a checkpoint reads them, and written;
- `translated`, `tiles`: pictures that are made of those of a folder;
- `protocol`, `inputs`, `model_images`, `sides`, `passes`, `printed`: `evaluate`, from its options to its table;
- `remade`, `reconstructed`, `by_damage`, `copies`: what it scores beside distributions;
- `programs`, `demo_pages`: the formats of `export`, the page of `demo`.
"""
