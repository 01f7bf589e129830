"""Average precision of the boxes of inferred objects."""

import contextlib
import io
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from air_lightning.metrics.averages import synced
from air_lightning.metrics.objects import first

NAN = float("nan")

Box = list[float]


class BoxPrecision(Metric):
    """Average precision of boxes over IoU thresholds, as COCO measures it (Lin et al. 2014), of one class.

    `compute` returns scalars, nan where there was no true box:

    ========== ==============================================
    `box_ap`   mean over the IoU thresholds 0.5, 0.55, ... 0.95
    `box_ap50` at 0.5; `box_ap75`: at 0.75
    ========== ==============================================

    Computed by `pycocotools`, as torchmetrics' own MeanAveragePrecision does, which cannot be had without torchvision.
    Boxes are kept (20 bytes a slot, 16 a true box) until `reset`.
    """

    full_state_update = False
    is_differentiable = False
    higher_is_better = True

    inferred: list[Tensor] | Tensor
    confidences: list[Tensor] | Tensor
    truths: list[Tensor] | Tensor
    counts: list[Tensor] | Tensor
    sizes: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # flat and float: what a process that had no batch sends to the others is an empty tensor of that kind
        for name in ("inferred", "confidences", "truths", "counts"):
            self.add_state(name, [], "cat")
        self.add_state("sizes", torch.zeros(2, dtype=torch.long), "max")

    def update(self, boxes: Tensor, confidence: Tensor, true_boxes: Tensor, true_count: Tensor) -> None:
        """Take in B scenes.

        Args:
            boxes: (B, N, 4), x0, y0, x1, y1 in pixels; one without area is no detection.
            confidence: (B, N), how sure it is that the object is there.
            true_boxes: (B, T, 4), of which the first `true_count` (B,) are there; zeros: nothing of it shows, and it is
                left out.

        Raises:
            ValueError: shapes do not fit, or N or T are not those of earlier batches.
        """
        _check_boxes("boxes", boxes, "confidence", confidence, boxes.shape[:2])
        _check_boxes("true_boxes", true_boxes, "true_count", true_count, true_boxes.shape[:1])
        if len(boxes) != len(true_boxes):
            raise ValueError(
                f"boxes and true_boxes must hold the same scenes, got {len(boxes)} and {len(true_boxes)} of them: "
                f"pass the same batch of both"
            )
        sizes = torch.tensor([boxes.shape[1], true_boxes.shape[1]], device=self.sizes.device)
        if bool(self.sizes.any()) and not torch.equal(self.sizes, sizes):
            raise ValueError(
                f"slots and true objects must be as many as in earlier batches, {self.sizes.tolist()}, got "
                f"{sizes.tolist()}: pad with empty boxes"
            )
        self.sizes = sizes
        rows = (
            (self.inferred, boxes),
            (self.confidences, confidence),
            (self.truths, true_boxes),
            (self.counts, true_count),
        )
        for state, values in rows:
            assert isinstance(state, list)
            state.append(values.detach().float().flatten())

    def compute(self) -> dict[str, Tensor]:
        """The table above, of everything since the last `reset`, over all processes."""
        precision = average_precision(*self._taken())
        figures = {"box_ap": precision.mean(), "box_ap50": precision[0], "box_ap75": precision[5]}
        return {name: value.to(self.device) for name, value in figures.items()}

    def at_half_by_count(self, largest: int) -> Tensor:
        """`box_ap50` of the scenes with 0, 1, ... `largest` true objects alone, (largest + 1,); nan without a true box.

        Like `compute`, of all processes, so all of them must call it.
        """
        with synced(self):
            taken = self._taken()
        chosen = (taken[-1] == n for n in range(largest + 1))
        return torch.stack([average_precision(*(part[scenes] for part in taken))[0] for scenes in chosen])

    def _taken(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What `update` was given, of all scenes, on the CPU."""
        inferred, confidence, truths, counts = (
            dim_zero_cat(state).cpu() if len(state) else torch.zeros(0)
            for state in (self.inferred, self.confidences, self.truths, self.counts)
        )
        scenes, (slots, objects) = len(counts), self.sizes.tolist()
        boxes, true = inferred.view(scenes, slots, 4), truths.view(scenes, objects, 4)
        return boxes, confidence.view(scenes, slots), true, counts.long()


def average_precision(boxes: Tensor, confidence: Tensor, true_boxes: Tensor, true_count: Tensor) -> Tensor:
    """COCO's average precision, (10,), at the IoU thresholds 0.5, 0.55, ... 0.95; nan where there is no true box.

    Args:
        as `BoxPrecision.update`.
    """
    present = first(true_count, true_boxes.shape[1]) & true_boxes.any(-1)
    detected = ((boxes[..., 2:] - boxes[..., :2]) > 0).all(-1)
    if not present.any():
        return torch.full((10,), NAN)
    if not detected.any():
        return torch.zeros(10)
    true = [{"iscrowd": 0} | _annotation(scene, box) for scene, box in _rows(present, true_boxes)]
    guesses = [
        {"score": score} | _annotation(scene, box)
        for (scene, box), score in zip(_rows(detected, boxes), confidence[detected].tolist())
    ]
    return _judged(true, guesses, len(boxes), boxes.shape[1])


def _judged(true: list[dict[str, Any]], guesses: list[dict[str, Any]], scenes: int, most: int) -> Tensor:
    """(10,) of COCO's annotations and results, of which a scene has `most` or fewer."""
    from pycocotools.coco import COCO  # heavy, and needed only here
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):  # both print their progress
        known = COCO()
        known.dataset = {
            "info": {},
            "images": [{"id": scene} for scene in range(scenes)],
            "categories": [{"id": 1}],
            # 0 is COCO's mark of an object that no box was matched to
            "annotations": [{"id": number} | row for number, row in enumerate(true, 1)],
        }
        known.createIndex()
        judge = COCOeval(known, known.loadRes(guesses), "bbox")
        judge.params.maxDets = [most]
        judge.params.areaRng, judge.params.areaRngLbl = [[0, float("inf")]], ["all"]
        judge.evaluate()
        judge.accumulate()
    # thresholds, recalls, kinds, areas, numbers of detections
    return torch.from_numpy(judge.eval["precision"][:, :, 0, 0, 0]).mean(1).float()


def _rows(chosen: Tensor, boxes: Tensor) -> list[tuple[int, Box]]:
    """(scene, box) of the boxes (B, S, 4) that are `chosen` (B, S)."""
    return list(zip(chosen.nonzero()[:, 0].tolist(), boxes[chosen].tolist()))


def _annotation(scene: int, box: Box) -> dict[str, Any]:
    x0, y0, x1, y1 = box
    sides = {"bbox": [x0, y0, x1 - x0, y1 - y0], "area": (x1 - x0) * (y1 - y0)}
    return {"image_id": scene, "category_id": 1} | sides


def _check_boxes(name: str, boxes: Tensor, other: str, values: Tensor, expected: torch.Size) -> None:
    """Raise ValueError unless `boxes` are (B, S, 4) and `values` have the shape `expected`."""
    if boxes.dim() != 3 or boxes.shape[2] != 4:
        raise ValueError(
            f"{name} must have shape (scenes, slots, 4), got {tuple(boxes.shape)}: the four are x0, y0, x1, y1"
        )
    if values.shape != expected:
        raise ValueError(f"{other} must have shape {tuple(expected)} to go with {name}, got {tuple(values.shape)}")
