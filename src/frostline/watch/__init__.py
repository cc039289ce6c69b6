"""Following a study from a browser on the same machine, while it runs, after it stopped, and when it is finished."""
