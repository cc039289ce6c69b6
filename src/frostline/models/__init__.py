"""Where a model comes from: a transformers folder or a Python factory, with a head that fits the task."""
