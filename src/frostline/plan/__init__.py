"""Blocks in execution order, freeze plans over them, and a freeze that holds."""
