"""What happens around training: progress, figures, checkpoints, guards. One callback, one file.

Every callback takes the run folder to be `trainer.default_root_dir` and is idle under `fast_dev_run`.
"""

from air_lightning.training.callbacks.arguments import Arguments
from air_lightning.training.callbacks.averaging import with_own_buffers
from air_lightning.training.callbacks.checkpoints import Checkpoints, MonitorError, NamesMetrics, check_monitors
from air_lightning.training.callbacks.figures import Figures
from air_lightning.training.callbacks.final_validation import FinalValidation
from air_lightning.training.callbacks.non_finite_guard import NonFiniteError, NonFiniteGuard
from air_lightning.training.callbacks.progress import Progress
from air_lightning.training.callbacks.random_state import RandomState
from air_lightning.training.callbacks.resumption import Resumption
from air_lightning.training.callbacks.scene_count import SceneCount
from air_lightning.training.callbacks.stop_signal import StopSignal
from air_lightning.training.callbacks.stopwatch import Stopwatch
from air_lightning.training.callbacks.summary import Summary
from air_lightning.training.callbacks.wandb_media import CountsObjects, WandbMedia

__all__ = [
    "Arguments",
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
    "with_own_buffers",
]
