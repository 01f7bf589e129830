"""What happens around training: progress, figures, checkpoints, guards. One callback, one file.

Every callback takes the run folder to be `trainer.default_root_dir` and is idle under `fast_dev_run`.
"""

from air_lightning.callbacks.checkpoints import Checkpoints, MonitorError, NamesMetrics, check_monitors
from air_lightning.callbacks.figures import Figures
from air_lightning.callbacks.final_validation import FinalValidation
from air_lightning.callbacks.non_finite_guard import NonFiniteError, NonFiniteGuard
from air_lightning.callbacks.progress import Progress
from air_lightning.callbacks.random_state import RandomState
from air_lightning.callbacks.resumption import Resumption
from air_lightning.callbacks.scene_count import SceneCount
from air_lightning.callbacks.stop_signal import StopSignal
from air_lightning.callbacks.stopwatch import Stopwatch
from air_lightning.callbacks.summary import Summary
from air_lightning.callbacks.wandb_media import CountsObjects, WandbMedia

__all__ = [
    "Checkpoints",
    "CountsObjects",
    "Figures",
    "FinalValidation",
    "MonitorError",
    "NamesMetrics",
    "NonFiniteError",
    "NonFiniteGuard",
    "Progress",
    "RandomState",
    "Resumption",
    "SceneCount",
    "StopSignal",
    "Stopwatch",
    "Summary",
    "WandbMedia",
    "check_monitors",
]
