import tests.robustness.fuzzing  # noqa: F401  registers the profiles
