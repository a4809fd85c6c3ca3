"""The report as one page for a browser, which needs nothing from anywhere else."""

from preflight.reports.html.report import render

__all__ = ["render"]
