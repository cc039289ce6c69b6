"""From predictions to metrics with intervals, and from two models on the same examples to their difference."""
