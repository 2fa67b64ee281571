"""What holds for all tests: what Hypothesis makes up is the same each time, and a busy machine is no failure."""

from hypothesis import settings

settings.register_profile("same", derandomize=True, deadline=None)
settings.load_profile("same")
