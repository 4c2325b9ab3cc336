"""What ranks other than the first have in place of the run's folder."""

from workspace_rl.config import RunConfig
from workspace_rl.training.rank_run import RankRun


def test_it_is_forgotten_but_for_checkpoints_and_batches_that_went_wrong(tmp_path):
    run = RankRun(tmp_path, RunConfig(), 2)
    temporary = run.path
    assert temporary.is_dir() and tmp_path not in temporary.parents
    assert run.checkpoints.folder == tmp_path / "checkpoints" / "rank2"
    assert run.checkpoints_of(0).folder == tmp_path / "checkpoints"
    assert run.kept_batch(7) == tmp_path / "bad_update_7_rank2.safetensors"
    (temporary / "metrics.csv").write_text("step,name,value\n")
    assert run.files_to_copy() == {}
    run.add_wall_time(1.0)
    run.unlock()
    assert not temporary.exists() and list(tmp_path.iterdir()) == []
