"""Property tests assert what is true, not how fast a busy machine gets there."""

import os

from hypothesis import settings

settings.register_profile("exploring", deadline=None)
# Continuous integration repeats the same cases: a new one that fails is found at a desk, where it can be mended.
settings.register_profile("repeating", deadline=None, derandomize=True)
settings.load_profile("repeating" if os.environ.get("CI") else "exploring")
