"""Which numbers of images were black and white to a run."""

from pathlib import Path

from air_lightning.runs.reading import read_config
from datamodules.image_files.finishing import Stretch
from datamodules.image_files.levels import Levels


def levels_of(run: Path) -> tuple[Levels, Stretch]:
    """The levels and the stretch that a run's data state; the usual ones where they state none."""
    _, config = read_config(run)
    data = config.get("data")
    stated = data.get("init_args") if isinstance(data, dict) else None
    if not isinstance(stated, dict) or not {"scale", "offset", "stretch"} <= stated.keys():
        return Levels(), "linear"
    return Levels(stated["scale"], stated["offset"]), stated["stretch"]
