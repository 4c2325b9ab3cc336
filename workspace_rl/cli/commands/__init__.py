"""The commands of `workspace-rl`, one file each: what the parser takes (`add_to`), and what is done with it (`run`).

- `train`: `train` trains as a configuration says; `resume` goes on with a run from its last checkpoint.
- `evaluate`: scores a run's policy on fresh episodes.
- `record`: films a run's policy.
- `plot`: draws the learning curves of runs.
- `compare`: says whether two groups of runs differ in their final scores.
- `report`: tells all of a run in one HTML page.
- `configs`: lists the configurations that come with the library, prints one, or explains an algorithm's parameters.
- `check`: looks for mistakes in what a configuration composes.
- `diagram`: shows which agent reads and writes what.
- `envs`: lists environments that are known to work.
"""
