"""The recipe of a run: which parts there are, and what each of them is told."""

from __future__ import annotations

from typing import Any

from workspace_rl.collectors.driver import Collectors
from workspace_rl.experience.experience import Experience
from workspace_rl.runs.logger import Logger
from workspace_rl.runs.run import Run
from workspace_rl.training.building import BuiltAlgorithm
from workspace_rl.training.loop import Loop, Pace
from workspace_rl.training.parts.checkpointing import Checkpointing
from workspace_rl.training.parts.evaluations import Evaluations, Evaluator
from workspace_rl.training.parts.logs import Logs, MeansOfRanks
from workspace_rl.training.parts.selection import Selection
from workspace_rl.training.parts.statistics import CollectedStatistics
from workspace_rl.training.parts.watched_fleet import WatchedFleet
from workspace_rl.training.resuming import conditions


def put_together(
    algorithm: BuiltAlgorithm[Any],
    run: Run,
    experience: Experience,
    collectors: Collectors,
    evaluator: Evaluator,
    *,
    resumed_at: int | None = None,
    show: bool = False,
) -> Loop:
    """Return the loop that trains an algorithm into the folder of `run`.

    Args:
        algorithm: what learns, and the configuration.
        run: the folder.
        experience: what fragments go into, and batches come from.
        collectors: what fragments come from.
        evaluator: scores policies.
        resumed_at: the step of the checkpoint that the run goes on from, if it does.
        show: whether to show a progress bar.
    """
    config, parameters, progress, ranks = algorithm.config, algorithm.parameters, algorithm.progress, algorithm.ranks
    tensorboard = run.tensorboard_folder if config.logger.save_tensorboard and ranks.first else None
    logger = Logger(
        run.path / "metrics.csv",
        tensorboard,
        verbose=config.logger.verbose and ranks.first,
        resumed_at=resumed_at,
        means=MeansOfRanks(ranks),
    )
    returns_file = run.path / "eval_returns.csv" if config.collect_stats else None
    fleet = None
    if config.collectors is not None:
        collectors = fleet = WatchedFleet(collectors, config.collectors, parameters, progress, keep=run.add_collectors)
    logs = Logs(logger, algorithm.total_steps, progress, returns_file=returns_file, show=show, fleet=fleet)
    selection = Selection(run, algorithm.eval_policy, progress, save_best=config.save_best)
    return Loop(
        Pace.of(config, parameters, ranks),
        progress,
        collectors=collectors,
        experience=experience,
        statistics=CollectedStatistics(algorithm.running_statistics(), ranks),
        learn=algorithm.learn,
        learner=algorithm.learner,
        policy=algorithm.policy,
        begin_updates=algorithm.begin_updates,
        enough=algorithm.enough,
        schedules=algorithm.schedules,
        evaluations=Evaluations(evaluator, selection, logs),
        selection=selection,
        logs=logs,
        checkpoints=Checkpointing(
            run,
            algorithm.training_state(),
            experience,
            progress,
            interval=parameters.checkpoint_interval,
            conditions=conditions(config, algorithm.device, ranks),
        ),
        ranks=ranks,
    )
