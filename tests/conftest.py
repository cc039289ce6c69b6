"""Property tests assert what is true, not how fast a busy machine gets there."""

from hypothesis import settings

settings.register_profile("no-deadline", deadline=None)
settings.load_profile("no-deadline")
