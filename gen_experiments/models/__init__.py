"""Models: LightningModules that say who steps, when, and what is logged."""
