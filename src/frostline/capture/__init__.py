"""Capture and replay: what frozen blocks compute is computed once per example."""
