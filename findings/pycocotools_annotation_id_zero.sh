#!/usr/bin/env bash
# pycocotools 2.0.11: a COCO file whose annotations are numbered from 0 is valid and loads, but COCOeval notes matches by
# the annotation's id and takes 0 for "no match". A detection that equals the object with id 0 counts as wrong: of one
# perfect detection the average precision is 0.0, and 1.0 once the same annotation is called 1.
# Seen with numpy 2.4.6, Python 3.11:
#   id 0: AP 0.0
#   id 1: AP 1.0
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet pycocotools==2.0.11 numpy==2.4.6
cd "$work"
venv/bin/python - <<'PYTHON' | tee seen
import contextlib
import io

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval


def precision(number: int) -> float:
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        box = {"image_id": 1, "category_id": 1, "bbox": [10.0, 10.0, 40.0, 40.0], "area": 1600.0, "iscrowd": 0}
        truth.dataset = {
            "info": {}, "images": [{"id": 1, "width": 64, "height": 64, "file_name": "a.png"}],
            "categories": [{"id": 1, "name": "thing"}], "annotations": [{"id": number} | box],
        }
        truth.createIndex()
        found = truth.loadRes([{k: box[k] for k in ("image_id", "category_id", "bbox")} | {"score": 1.0}])
        judge = COCOeval(truth, found, "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return round(float(judge.stats[0]), 6)


for number in (0, 1):
    print(f"id {number}: AP {precision(number)}")
PYTHON
diff seen - <<'SEEN'
id 0: AP 0.0
id 1: AP 1.0
SEEN
