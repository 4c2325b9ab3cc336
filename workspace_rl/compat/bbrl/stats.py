"""`bbrl.stats`: the names of the tests in `workspace_rl.comparison`."""

from typing import Any

from workspace_rl import comparison
from workspace_rl.compat.bbrl.visu.common import finish


def compute_central_tendency_and_error(id_central: str, id_error: Any, sample: Any) -> tuple[Any, Any, Any]:
    """Return the middle and the limits of an error band: see `workspace_rl.comparison.middle_and_band`."""
    return comparison.middle_and_band(sample, id_central, id_error)


class Test:
    """A test of the hypothesis that two samples come from one distribution."""

    name = ""

    def plot(
        self,
        data1: Any,
        data2: Any,
        point_every: float = 1,
        confidence_level: float = 0.01,
        id_central: str = "median",
        id_error: Any = 80,
        legends: str = "alg 1/alg 2",
        xlabel: str = "training steps",
        save: bool = True,
        downsampling_fact: int = 5,
    ) -> None:
        """Show two sets of learning curves: see `workspace_rl.comparison.compare_curves`. `save` writes ./plot.png."""
        options: dict[str, Any] = {"test": self.name, "alpha": confidence_level, "central": id_central}
        options |= {"error": id_error, "labels": legends.split("/"), "xlabel": xlabel}
        options |= {"point_every": point_every, "use_every": downsampling_fact}
        finish(comparison.compare_curves(data1, data2, **options), save, True, "plot.png")

    def run_test(self, data1: Any, data2: Any, alpha: float = 0.05) -> bool:
        """Return whether two samples (`[n_seeds]`) differ; `alpha` is how often it may say so of ones that do not."""
        return bool(comparison.differ(data1, data2, self.name).p_value < alpha)


def _named(name: str, test: str) -> type[Test]:
    return type(name, (Test,), {"name": test, "__doc__": f"The test {test!r} of `workspace_rl.comparison`."})


TTest = _named("TTest", "t")
WelchTTest = _named("WelchTTest", "welch")
RankedTTest = _named("RankedTTest", "ranked t")
MannWhitneyTest = _named("MannWhitneyTest", "mann-whitney")
BootstrapTest = _named("BootstrapTest", "bootstrap")
PermutationTest = _named("PermutationTest", "permutation")
