"""One page that tells all of a run: what was trained, how it went, how good it is, and how it looks.

- `page`: what stands in the page, and how it is put together: `write_report`.
- `page.html`, `page.css`: its template, and how it looks.
- `figures`: its pictures.
- `options`: configurations as tables, in which one sees what differs from the defaults.
- `scores`: what evaluations say of the run's policies, with intervals.
"""

from workspace_rl.report.page import report_page, write_report

__all__ = ["report_page", "write_report"]
