"""Training: the parts of which models make their steps.

- `manual`, `optimizers`, `micro_batches`: models that step their own optimizers; `ema`: moving averages;
- `discriminator_loss`, `adversary`: the losses of discriminators; `augmented`, `strength`, `image_buffer`: the images
  that they see;
- `batch_norm`: over several processes; `trainer_options`, `data_checks`: what models refuse or ask of Trainer and data.
"""
