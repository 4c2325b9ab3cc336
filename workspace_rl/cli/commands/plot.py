"""The command `plot`: learning curves of runs."""

from __future__ import annotations

import argparse
from pathlib import Path

from workspace_rl.cli.arguments import Commands, add_command
from workspace_rl.messages.printing import say


def add_to(commands: Commands) -> None:
    """Add the command and its arguments."""
    parser = add_command(
        commands,
        run,
        "plot",
        "draw the learning curves of runs",
        """
        Runs that differ in their seeds alone are one line: the interquartile mean, with a band of 95 % stratified
        bootstrap intervals; each run is a thin line. METRICS are the names in metrics.csv, * stands for anything:
          workspace-rl plot outputs/Pendulum-v1/* --output curves.svg
          workspace-rl plot RUN --metrics "loss/*" "gradient_norm/*"
        There is a panel for each metric and environment. --normalise puts the environments together in one panel:
          workspace-rl plot RUN... --normalise Pendulum-v1=-1400:-150 CartPoleContinuous-v1=20:500
        """,
    )
    parser.add_argument("runs", metavar="RUN", nargs="+", help="the folders of runs")
    parser.add_argument(
        "--metrics",
        metavar="NAME",
        nargs="+",
        default=["eval/return_mean"],
        help="what to draw (default: eval/return_mean)",
    )
    parser.add_argument(
        "--normalise",
        metavar="ENV=LOW:HIGH",
        nargs="+",
        type=_reference,
        help="the scores of each environment that count as 0 and as 1",
    )
    parser.add_argument(
        "--output",
        metavar="FILE",
        help="a .png, .svg or .pdf file (default: curves.png in the run's folder, of several runs in the current one)",
    )


def run(options: argparse.Namespace) -> int:
    """Draw learning curves, and print where the figure is."""
    from workspace_rl.plots import learning_curves, save_figure  # matplotlib is slow, and optional

    figure = learning_curves(options.runs, options.metrics, normalise=dict(options.normalise or ()) or None)
    folder = Path(options.runs[0] if len(options.runs) == 1 else ".")
    say(save_figure(figure, options.output or folder / "curves.png"))
    return 0


def _reference(text: str) -> tuple[str, tuple[float, float]]:
    environment, _, limits = text.rpartition("=")
    low, _, high = limits.partition(":")
    try:
        return environment, (float(low), float(high))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"ENVIRONMENT=LOW:HIGH expected, {text!r} found") from error
