"""Sweeps: many fits of one experiment, as a W&B sweep file says, on W&B or on this machine alone.

What needs Optuna (``study``, ``local``) is imported only where it is used.
"""

from air_lightning.commands.sweep.definition import Halving, Metric, Sweep, load
from air_lightning.commands.sweep.parameters import Choice, Parameter, Range

__all__ = ["Choice", "Halving", "Metric", "Parameter", "Range", "Sweep", "load"]
