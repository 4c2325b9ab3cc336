"""How many examples are tried: a few, always the same ones, or all and new ones each time, by `make robustness`."""

from hypothesis import HealthCheck, settings

OPTIONS = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}
settings.register_profile("quick", derandomize=True, **OPTIONS)
settings.register_profile("full", derandomize=False, print_blob=True, **OPTIONS)


def examples(*, quick: int, full: int) -> settings:
    """Return the settings of a test that tries so many examples."""
    return settings(max_examples=full if settings.get_current_profile_name() == "full" else quick)
