"""Batches, the training loop, linear probes and simple baselines."""
