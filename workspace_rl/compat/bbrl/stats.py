"""`bbrl.stats`: the names of the tests in `workspace_rl.comparison`."""

from typing import Any

from workspace_rl import comparison, plots


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
        bands: dict[str, Any] = {
            "central": id_central,
            "error": id_error,
            "labels": legends.split("/"),
            "xlabel": xlabel,
        }
        rows: dict[str, Any] = {"point_every": point_every, "use_every": downsampling_fact}
        figure = comparison.compare_curves(data1, data2, test=self.name, alpha=confidence_level, **bands, **rows)
        if save:
            plots.save_figure(figure, "plot.png")
        plots.show_figure(figure)

    def run_test(self, data1: Any, data2: Any, alpha: float = 0.05) -> bool:
        """Return whether two samples (`[n_seeds]`) differ; `alpha` is how often it may say so of ones that do not."""
        return comparison.differ(data1, data2, self.name, alpha)


TTest, WelchTTest, RankedTTest, MannWhitneyTest, BootstrapTest, PermutationTest = (
    type(name, (Test,), {"name": test, "__doc__": f"The test {test!r} of `workspace_rl.comparison`."})
    for name, test in {
        "TTest": "t",
        "WelchTTest": "welch",
        "RankedTTest": "ranked t",
        "MannWhitneyTest": "mann-whitney",
        "BootstrapTest": "bootstrap",
        "PermutationTest": "permutation",
    }.items()
)
