"""Folders of runs that were never trained."""

import json

import yaml


def make_run(path, metrics, *, seed=1, env_name="Some-v0", algo="sac", scores=None, collectors=None, **algorithm):
    """Write the folder of a run with `metrics` ({name: [(step, value), ...]}) and `scores` ({"final": returns})."""
    path.mkdir(parents=True)
    config = {
        "algo": algo,
        "gym_env": {"env_name": env_name},
        "base_dir": str(path),
        "algorithm": {"seed": seed, **algorithm},
    }
    if collectors is not None:
        config["collectors"] = collectors
    (path / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    rows = [f"{step},{name},{value!r}\n" for name, pairs in metrics.items() for step, value in pairs]
    (path / "metrics.csv").write_text("step,name,value\n" + "".join(rows))
    if scores:
        (path / "best").mkdir()
        entries = {kind: {"returns": returns, "lengths": [], "seeds": []} for kind, returns in scores.items()}
        (path / "best" / "eval.json").write_text(json.dumps({"step": 200, **entries}))
    return path
