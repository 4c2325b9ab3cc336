from hypothesis import settings

import tests.robustness.fuzzing  # noqa: F401  registers the profiles

if settings.get_current_profile_name() != "full":
    settings.load_profile("quick")
