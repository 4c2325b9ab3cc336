"""The command `workspace-rl`."""

from __future__ import annotations

import argparse
import contextlib
import os
import pkgutil
import sys
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import workspace_rl
from workspace_rl import inspection
from workspace_rl.algorithm.names import find_algorithm
from workspace_rl.basics.old_names import present_name
from workspace_rl.cli.catalogue import list_environments
from workspace_rl.config.schema import describe_schema
from workspace_rl.config.sources import config_text, read_config, shipped_configs
from workspace_rl.errors import ConfigError, WorkspaceRLError
from workspace_rl.messages.installation import PACKAGE, unused_clone
from workspace_rl.messages.printing import say
from workspace_rl.messages.text_table import aligned
from workspace_rl.runs.run import Run
from workspace_rl.training.off_policy import OffPolicyAlgorithm

#: What divides two groups of runs, as the parser sees it.
VERSUS = "\0versus"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status: 0, 1 for a user's error, 2 for wrong usage, 130 for ctrl-C."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given[:1] == ["compare"]:  # argparse would drop what divides the groups
        given = [VERSUS if one == "--" else one for one in given]
    parser = build_parser()
    options, rest = parser.parse_known_args(given)
    if rest:  # argparse takes `key=value` behind another option for something unknown
        if not hasattr(options, "overrides") or any(one.startswith("-") or "=" not in one for one in rest):
            parser.error(f"unrecognized arguments: {' '.join(rest)}")
        options.overrides += rest
    warnings.formatwarning = lambda message, *_, **__: f"workspace-rl: {message}\n"
    try:
        status: int = options.command(options)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever reads it, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except WorkspaceRLError as error:
        print(f"workspace-rl: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("workspace-rl: interrupted", file=sys.stderr)
        return 130
    return status


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="workspace-rl",
        description="Train, score and film reinforcement learning policies.",
        epilog=_text(
            """
            A first run, two minutes long:
              workspace-rl train sac/cartpole_continuous
              tensorboard --logdir outputs
              workspace-rl record outputs/CartPoleContinuous-v1/<the run> --episodes 3
            """
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"workspace-rl {workspace_rl.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    train = _command(
        commands,
        "train",
        "train as a configuration says, score and film the best policy",
        """
        CONFIG is a YAML file, or one that comes with the library ("workspace-rl configs" lists them). Single parameters
        are changed behind it:
          workspace-rl train sac/pendulum algorithm.seed=2 base_dir=outputs/second
        An algorithm of your own is named by its module and class:
          workspace-rl train mine.yaml algo=my_module:MyAlgorithm
        Ctrl-C ends the run early and keeps the policies, the measurements and the scores.
        """,
    )
    _add_config_arguments(train)
    train.set_defaults(command=_train)

    resume = _command(
        commands,
        "resume",
        "go on with a run that was stopped, from its last checkpoint",
        """
        It ends exactly as if it had never been stopped. A run that is complete becomes longer, with new episodes from
        where it ended, by
          workspace-rl resume RUN algorithm.total_steps=200000
        Like evaluate and record, this imports nothing from the working directory, unless you allow it.
        """,
    )
    resume.add_argument("run", metavar="RUN", help="the folder of a run")
    _add_allow_argument(resume)
    resume.add_argument("overrides", metavar="key=value", nargs="*", help="parameters that do not change its course")
    resume.set_defaults(command=_resume)

    evaluate = _command(
        commands,
        "evaluate",
        "score a run's policy on fresh episodes",
        """
        The score is printed, and kept in the policy's eval.json if there is none yet. The episodes' seeds selected
        nothing. Unlike training, this imports nothing from the working directory that you do not allow, since the run
        may be somebody else's: for an environment of your own, set PYTHONPATH=. before it.
        """,
    )
    _add_policy_arguments(evaluate, episodes=100)
    evaluate.set_defaults(command=_evaluate)

    record = _command(commands, "record", "film a run's policy", "Several episodes follow each other in one video.")
    _add_policy_arguments(record, episodes=1)
    record.add_argument("--output", metavar="FILE", help="the mp4 file (default: in the policy's folder)")
    record.set_defaults(command=_record)

    plot = _command(
        commands,
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
    plot.add_argument("runs", metavar="RUN", nargs="+", help="the folders of runs")
    plot.add_argument(
        "--metrics",
        metavar="NAME",
        nargs="+",
        default=["eval/return_mean"],
        help="what to draw (default: eval/return_mean)",
    )
    plot.add_argument(
        "--normalise",
        metavar="ENV=LOW:HIGH",
        nargs="+",
        type=_reference,
        help="the scores of each environment that count as 0 and as 1",
    )
    plot.add_argument(
        "--output",
        metavar="FILE",
        help="a .png, .svg or .pdf file (default: curves.png in the run's folder, of several runs in the current one)",
    )
    plot.set_defaults(command=_plot)

    compare = _command(
        commands,
        "compare",
        "say whether two groups of runs differ in their final scores",
        """
        Each group holds the runs of one configuration with several seeds; -- stands between the groups:
          workspace-rl compare outputs/wide-S* -- outputs/narrow-S*
        Every run's final score, whether they differ by Welch's t-test, its p-value, and the effect size.
        """,
    )
    compare.usage = "workspace-rl compare [-h] [--test NAME] [--alpha P] RUN... -- RUN..."
    compare.add_argument("runs", metavar="RUN", nargs="+", help="folders of runs, of two groups with -- between them")
    compare.add_argument(
        "--test",
        metavar="NAME",
        default="welch",
        help="t, welch (default), ranked t, mann-whitney, bootstrap, permutation",
    )
    compare.add_argument("--alpha", metavar="P", type=float, default=0.05, help="the level of the test (default: 0.05)")
    compare.set_defaults(command=_compare)

    report = _command(
        commands,
        "report",
        "tell all of a run in one HTML page",
        """
        Summary, film, learning curves, scores with intervals, configuration, versions and commit, in one file that
        needs no network. Nothing of the run is executed: it may be somebody else's.
        """,
    )
    report.add_argument("run", metavar="RUN", help="the folder of a run")
    report.add_argument("--output", metavar="FILE", help="the HTML file (default: report.html in the run's folder)")
    report.set_defaults(command=_report)

    configs = _command(
        commands,
        "configs",
        "list the configurations that come with the library, print one, or explain an algorithm's parameters",
        """
        Without NAME the configurations' names; with one of these, such as sac/pendulum, the file itself; with an
        algorithm's name, such as sac, every parameter, its default, its meaning and its choices.
        """,
    )
    configs.add_argument(
        "name", metavar="NAME", nargs="?", help="for instance sac, my_module:MyAlgorithm, or sac/pendulum"
    )
    configs.set_defaults(command=_configs)

    check = _command(
        commands,
        "check",
        "look for mistakes in what a configuration composes, without running it",
        "Nothing is computed, and no environment is stepped. The status is 1 if there are problems.",
    )
    _add_config_arguments(check)
    check.set_defaults(command=_check)

    diagram = _command(
        commands,
        "diagram",
        "show which agent reads and writes what, as text or as a picture",
        "Of the composition that a configuration trains: collecting, and one update.",
    )
    _add_config_arguments(diagram)
    diagram.add_argument("--output", metavar="FILE", help="write an .svg or a .png file instead of text")
    diagram.set_defaults(command=_diagram)

    envs = _command(
        commands,
        "envs",
        "list environments that are known to work",
        """
        With their spaces, the extra that each needs, and the algorithms that can learn it. Other gymnasium
        environments work as well, your own among them ("your_module:YourEnv-v0").
        """,
    )
    envs.set_defaults(command=_envs)
    return parser


def _train(options: argparse.Namespace) -> int:
    result = _algorithm(options).train()
    return 130 if result.interrupted else 0


def _check(options: argparse.Namespace) -> int:
    problems = inspection.check(_algorithm(options))
    say(problems)
    return 1 if problems else 0


def _diagram(options: argparse.Namespace) -> int:
    diagram = inspection.diagram(_algorithm(options))
    say(diagram if options.output is None else diagram.save(options.output))
    return 0


def _algorithm(options: argparse.Namespace) -> OffPolicyAlgorithm[Any]:
    # So that an environment of one's own is found in the working directory. Only here, and after everything else: a run
    # that is scored or filmed may be somebody else's, and so may be the folder it lies in.
    sys.path.append(str(Path.cwd()))
    clone = unused_clone()
    if clone is not None:
        warnings.warn(
            f"this is the library of {PACKAGE}, not of the clone {clone}: what is changed there has no effect. To use "
            f'the clone: pip install --editable "{clone}"',
            stacklevel=2,
        )
    config = read_config(options.config, options.overrides)
    return _named_algorithm(config.get("algo"))(config)


def _named_algorithm(name: Any) -> type[OffPolicyAlgorithm[Any]]:
    """Return the algorithm that the user has named, who trusts it by that."""
    return find_algorithm(name, [name] if isinstance(name, str) else [])


def _resume(options: argparse.Namespace) -> int:
    algorithm: Any = _run(options).algorithm
    result = algorithm.restore(options.run, options.overrides).train()
    return 130 if result.interrupted else 0


def _run(options: argparse.Namespace) -> Run:
    """Open a run; what is allowed, and nothing else, is looked for in the working directory as well."""
    with _modules_of_the_working_directory():
        return Run(options.run, [_imported(name) for name in options.allow])


def _imported(name: str) -> str | type:
    """Import what the user allows by name: a class, or a module whose classes are all allowed."""
    try:
        found = pkgutil.resolve_name(present_name(name))
    except Exception as error:  # a module may raise anything when it is imported
        raise ConfigError(
            f"--allow {name}: it cannot be imported ({type(error).__name__}: {error}). my_module:MyClass, or a module, "
            "expected, that is installed or lies in the working directory or where PYTHONPATH says."
        ) from error
    return found if isinstance(found, type) else name


@contextlib.contextmanager
def _modules_of_the_working_directory() -> Iterator[None]:
    folder = str(Path.cwd())
    sys.path.append(folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


def _evaluate(options: argparse.Namespace) -> int:
    run = _run(options)
    score = run.evaluate(options.episodes, options.policy)
    if "final" not in run.scores(options.policy):
        run.save_scores(options.policy, final=score.as_dict())
    say(f"{options.policy} policy of {run.path}: {score}")
    return 0


def _record(options: argparse.Namespace) -> int:
    say(_run(options).record(options.episodes, options.policy, options.output))
    return 0


def _plot(options: argparse.Namespace) -> int:
    from workspace_rl.plots import learning_curves, save_figure  # matplotlib is slow, and optional

    figure = learning_curves(options.runs, options.metrics, normalise=dict(options.normalise or ()) or None)
    folder = Path(options.runs[0] if len(options.runs) == 1 else ".")
    say(save_figure(figure, options.output or folder / "curves.png"))
    return 0


def _compare(options: argparse.Namespace) -> int:
    from workspace_rl.report.run_comparison import compare_runs  # scipy is slow, and optional

    if options.runs.count(VERSUS) != 1:
        raise ConfigError("compare: two groups of runs expected, with one -- between them: RUN... -- RUN...")
    at = options.runs.index(VERSUS)
    say(compare_runs(options.runs[:at], options.runs[at + 1 :], test=options.test, alpha=options.alpha))
    return 0


def _report(options: argparse.Namespace) -> int:
    from workspace_rl.report import write_report

    say(write_report(options.run, options.output))
    return 0


def _configs(options: argparse.Namespace) -> int:
    if options.name is None:
        say("\n".join(shipped_configs()))
    elif "/" in options.name or options.name.endswith(".yaml"):
        say(config_text(options.name).rstrip("\n"))
    else:
        sys.path.append(str(Path.cwd()))
        say(describe_schema(_named_algorithm(options.name).config_class))
    return 0


def _envs(options: argparse.Namespace) -> int:
    rows = [("environment", "observation", "action", "extra", "algorithms")]
    rows += [
        (entry.name, entry.observation or "(not installed)", entry.action or "", entry.extra, entry.algorithms or "")
        for entry in list_environments()
    ]
    say("\n".join(aligned(rows)))
    return 0


def _command(commands: argparse._SubParsersAction, name: str, help: str, text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=help,
        description=f"{help[0].upper()}{help[1:]}.\n\n{_text(text)}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return parser


def _add_config_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", metavar="CONFIG", help="a YAML file, or a name such as sac/pendulum")
    parser.add_argument("overrides", metavar="key=value", nargs="*", help="parameters to change")


def _add_policy_arguments(parser: argparse.ArgumentParser, episodes: int) -> None:
    parser.add_argument("run", metavar="RUN", help="the folder of a run")
    parser.add_argument(
        "--episodes", metavar="N", type=_positive, default=episodes, help=f"how many episodes (default: {episodes})"
    )
    parser.add_argument(
        "--policy", choices=("best", "latest"), default="best", help="which policy of the run (default: best)"
    )
    _add_allow_argument(parser)


def _add_allow_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--allow",
        metavar="NAME",
        action="append",
        default=[],
        help="a class of yours that the run may be made by (my_module:MyAlgorithm), or a module; may be repeated",
    )


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a positive whole number expected, {text!r} found")
    return int(text)


def _reference(text: str) -> tuple[str, tuple[float, float]]:
    environment, _, limits = text.rpartition("=")
    low, _, high = limits.partition(":")
    try:
        return environment, (float(low), float(high))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"ENVIRONMENT=LOW:HIGH expected, {text!r} found") from error


def _text(text: str) -> str:
    return textwrap.dedent(text).strip()
