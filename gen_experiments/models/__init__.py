"""Models: LightningModules that say which network steps when, and what is logged.

- `base`: what all models share; `manual`, `optimizers`, `micro_batches`: models that step their own optimizers;
- `trainer_options`, `batch_norm`: the Trainer's options that a model refuses, and batch norm over several processes;
- `gan`; `vqvae`, on `tokenizer`; `prior` and `restoration_prior`, on `code_model`; `pix2pix`, `cyclegan`, `cut` and
  `munit`, on `translation`; `classifier`;
- `discriminator_loss`, `adversary`: the losses of discriminators; `augmented`, `strength`, `image_buffer`: the images
  that they see; `data_checks`: what data must be;
- `ema`: moving averages; `averaged_generator`, `averaged_translator`, `sampling`: how a trained model is used.
"""
