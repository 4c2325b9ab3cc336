"""The parts of the loop that every run has (collectors and experience: `experience`; the learner: `learning`).

- `progress`: where a run stands: its counters, and when what is due next.
- `logs`: what is measured on the way, and the progress bar.
- `watched_fleet`: what many collectors are doing, and where more of them cannot pay.
- `scoring`: scores the policy in environments of its own.
- `scoring_process`: scores and films policies in a process of its own.
- `evaluations`: asks for scores, and takes them up once they are there.
- `selection`: keeps the latest policy, the best one, and some on the way.
- `checkpointing`: what a checkpoint holds, written and taken up again.
- `statistics`: running statistics of what was collected, each frame counted once.
- `divergence`: what is said when learning has diverged (how it is noticed: `learning.finite_watch`).
"""
