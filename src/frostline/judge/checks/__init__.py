"""One small file per check; `frostline.judge.registry` lists them all."""
