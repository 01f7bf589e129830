"""`fit --start_from`: weights that are another model's."""

from pathlib import Path

import pytest
import yaml
from runs_for_tests import ATTENTION, DISCS, write_run

from air_lightning.cli import main


def test_weights_of_another_shape_name_the_arguments_that_they_were_trained_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, mine, more = write_run(tmp_path / "run", DISCS), tmp_path / "mine.yaml", tmp_path / "more"
    inference = ATTENTION | {"init_args": {**ATTENTION["init_args"], "hidden": 17}}  # type: ignore[dict-item]
    model = {"renderer": DISCS, "inference": inference, "slots": 2, "count_prior": 0.5}
    data = {"class_path": "datamodules.Scenes3D", "init_args": {"counts": [1]}}
    mine.write_text(yaml.safe_dump({"model": model, "data": data}))
    with pytest.raises(SystemExit) as ended:
        main(["fit", "--config", str(mine), "--start_from", str(run), "--run_dir", str(more)])
    assert ended.value.code == 2 and not more.exists()
    said = capsys.readouterr().err
    assert (
        f"error: --start_from {str(run)!r} does not fit: its weights are of another model than the config's, " in said
    )
    assert said.endswith(
        "; it was trained with model.inference.init_args.hidden 16: give the same, or start from another\n"
    )
