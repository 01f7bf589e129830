"""What authors of plug-ins test them with: ``check_renderer``."""

from air_lightning.testing.check import check_renderer
from air_lightning.testing.report import BrokenLaws, Finding, Report

__all__ = ["BrokenLaws", "Finding", "Report", "check_renderer"]
