"""The parts of the loop that every run has; collectors, experience and the learner have rooms of their own.

- `progress`: where a run stands: its counters, and when what is due next.
- `logs`: what is measured on the way, and the progress bar.
- `scoring`: scores the policy in environments of its own.
- `selection`: keeps the latest policy and the best one.
- `checkpointing`: what a checkpoint holds, written and taken up again.
- `bad_numbers`: what is said when numbers are not finite.
"""
