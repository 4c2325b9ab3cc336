"""One page that tells all of a run: what was trained, how it went, how good it is, and how it looks."""

from workspace_rl.report.page import report_page, write_report

__all__ = ["report_page", "write_report"]
