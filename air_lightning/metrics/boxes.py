"""Average precision of the boxes of inferred objects."""

import contextlib
import io
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

NAN = float("nan")


class BoxPrecision(Metric):
    """Average precision of boxes over IoU thresholds, as COCO measures it (Lin et al. 2014), of one class.

    `compute` returns scalars, nan where there was no true box:

    ============ ==========================================================
    `box_ap`     mean over the IoU thresholds 0.5, 0.55, ... 0.95
    `box_ap50`   at 0.5; `box_ap75`: at 0.75
    ============ ==========================================================

    Computed by `pycocotools`, as torchmetrics' own MeanAveragePrecision does, which cannot be had without torchvision.
    """

    full_state_update = False
    is_differentiable = False

    found: list[Tensor] | Tensor
    confidences: list[Tensor] | Tensor
    truths: list[Tensor] | Tensor
    counts: list[Tensor] | Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for name in ("found", "confidences", "truths", "counts"):
            self.add_state(name, [], "cat")

    def update(self, boxes: Tensor, confidence: Tensor, true_boxes: Tensor, true_count: Tensor) -> None:
        """Take in B scenes.

        Args:
            boxes: (B, N, 4), x0, y0, x1, y1 in pixels; one without area is no detection.
            confidence: (B, N), how sure it is that the object is there.
            true_boxes: (B, T, 4), of which the first `true_count` (B,) are there.

        Raises:
            ValueError: shapes do not fit.
        """
        if boxes.dim() != 3 or boxes.shape[-1] != 4 or boxes.shape[:2] != confidence.shape:
            raise ValueError(
                f"boxes and confidence must have shapes (scenes, slots, 4) and (scenes, slots), got "
                f"{tuple(boxes.shape)} and {tuple(confidence.shape)}"
            )
        if true_boxes.dim() != 3 or true_boxes.shape[-1] != 4 or true_boxes.shape[:1] != true_count.shape:
            raise ValueError(
                f"true_boxes and true_count must have shapes (scenes, objects, 4) and (scenes,), got "
                f"{tuple(true_boxes.shape)} and {tuple(true_count.shape)}"
            )
        rows = (self.found, boxes), (self.confidences, confidence), (self.truths, true_boxes), (self.counts, true_count)
        for state, values in rows:
            assert isinstance(state, list)
            state.append(values.detach().cpu())

    def compute(self) -> dict[str, Tensor]:
        """The table above, of everything since the last `reset`, over all processes."""
        if isinstance(self.counts, list) and not self.counts:
            return dict.fromkeys(("box_ap", "box_ap50", "box_ap75"), torch.tensor(NAN))
        found, confidence = dim_zero_cat(self.found), dim_zero_cat(self.confidences)
        truths, counts = dim_zero_cat(self.truths), dim_zero_cat(self.counts)
        if not counts.any():
            return dict.fromkeys(("box_ap", "box_ap50", "box_ap75"), torch.tensor(NAN))
        true = [(scene, box) for scene, n in enumerate(counts.tolist()) for box in truths[scene, :n].tolist()]
        areas = (found[..., 2] - found[..., 0]) * (found[..., 3] - found[..., 1])
        detected = [
            (scene, found[scene, slot].tolist(), float(confidence[scene, slot]))
            for scene, slot in areas.gt(0).nonzero().tolist()
        ]
        precision = coco_precision(true, detected, len(counts))
        return dict(zip(("box_ap", "box_ap50", "box_ap75"), precision))


Boxes = list[tuple[int, list[float]]]
Detections = list[tuple[int, list[float], float]]


def coco_precision(true: Boxes, detected: Detections, scenes: int) -> Tensor:
    """Mean average precision, that at 0.5 and that at 0.75 (3,), of (scene, box[, confidence]) rows."""
    if not detected:
        return torch.zeros(3)
    from pycocotools.coco import COCO  # heavy, and needed only here
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):  # both print their progress
        known = COCO()
        known.dataset = {
            "images": [{"id": scene} for scene in range(scenes)],
            "categories": [{"id": 1}],
            "annotations": [
                {"id": i, "image_id": scene, "category_id": 1, "iscrowd": 0} | _sides(box)
                for i, (scene, box) in enumerate(true, 1)
            ],
        }
        known.createIndex()
        guesses = known.loadRes(
            [
                {"image_id": scene, "category_id": 1, "score": score, "bbox": _sides(box)["bbox"]}
                for scene, box, score in detected
            ]
        )
        judge = COCOeval(known, guesses, "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return torch.tensor(judge.stats[:3], dtype=torch.float32)


def _sides(box: list[float]) -> dict[str, Any]:
    """COCO's x, y, width, height, and the area."""
    x0, y0, x1, y1 = box
    return {"bbox": [x0, y0, x1 - x0, y1 - y0], "area": (x1 - x0) * (y1 - y0)}
