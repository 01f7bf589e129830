"""Whether a model can explain a data module's scenes."""

from air_lightning.metrics.evaluation import check_positions
from air_lightning.model.air import AIR
from datamodules.base import SceneDataModule
from renderers.first_process import warn

RARE = 0.003
"""How much rarer than one object less a count may be a priori before data that holds it is warned of."""


def check_data(model: AIR, data: SceneDataModule) -> None:
    """ValueError where the model cannot explain this data."""
    if data.largest_count > model.slots:
        raise ValueError(
            f"the model has {model.slots} slots and the data holds scenes of up to {data.largest_count} objects: "
            f"raise model.slots to at least {data.largest_count}, or lower the data's counts"
        )
    _warn_of_rare_counts(model, data.largest_count)
    shape = data.image_shape
    if shape is not None and tuple(shape) != tuple(model.renderer.image_shape):
        raise ValueError(
            f"the data's images are {tuple(shape)} (channels, height, width), the renderer draws "
            f"{tuple(model.renderer.image_shape)}: give both the same size"
        )
    if data.has_truth:
        check_positions(model.renderer, data)
        data.identity_numbers(model.renderer)


def _warn_of_rare_counts(model: AIR, largest: int) -> None:
    """Where the count prior all but excludes one more object, and the data holds it."""
    steps = model.log_prior[: largest + 1].diff().exp().tolist()
    rare = next((n for n, step in enumerate(steps, 1) if step < RARE), None)
    if rare is not None:
        warn(
            f"model.count_prior makes {rare} objects {steps[rare - 1]:.1g} times as likely as {rare - 1}, and the "
            f"data holds scenes of up to {largest}: they will be counted too low. Give a ratio, 0.3, or a list for "
            "this data"
        )
