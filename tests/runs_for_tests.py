"""Run folders of small models that nobody has trained, but that see objects: attention finds what is unexplained."""

from pathlib import Path
from typing import Any

import torch
import yaml

from air_lightning.runs.loading import build_module

ATTENTION = {
    "class_path": "air_lightning.inference.ResidualAttention",
    "init_args": {"channels": 4, "reader": 0, "hidden": 16, "glimpse": 8},
}
LSTM = {
    "class_path": "air_lightning.inference.RecurrentAIR",
    "init_args": {"lstm": 16, "encoded": 16, "predict": 16, "glimpse": 8, "what_hidden": 16},
}
DAIR = {"class_path": LSTM["class_path"], "init_args": {**LSTM["init_args"], "difference": True}}  # type: ignore[dict-item]
MESHES = {"class_path": "renderers.MeshRenderer", "init_args": {"image_size": [32, 40]}}
GLIMPSES = {
    "class_path": "renderers.GlimpseRenderer",
    "init_args": {"image_shape": [1, 20, 24], "what": 3, "glimpse": 8, "hidden": 8, "bias": 2.0},
}
TURNED = {"class_path": GLIMPSES["class_path"], "init_args": {**GLIMPSES["init_args"], "turn": 0.5}}  # type: ignore[dict-item]
DISCS = {"class_path": "disc_plugin.Discs"}
RECONSIDERED = {"class_path": "air_lightning.model.Reconsideration", "init_args": {"margin": 0.0}}
REFINED = {"class_path": "air_lightning.model.Refinement", "init_args": {"iterations": 2}}


def write_run(
    folder: Path, renderer: dict[str, Any], inference: dict[str, Any] = ATTENTION, sure: float = 0.0, **more: Any
) -> Path:
    """The folder of a run. sure: added to the logit of every slot's presence. more: further arguments of the model."""
    arguments = {"renderer": renderer, "inference": inference, "slots": 2, **more}
    config = yaml.safe_dump({"model": arguments}, sort_keys=False)  # before anything makes objects of it
    torch.manual_seed(0)
    module = build_module(arguments)
    last = [layer for layer in module.network.presence.modules() if isinstance(layer, torch.nn.Linear)][-1]
    with torch.no_grad():
        last.bias += sure
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "config.yaml").write_text(config)
    state = {"state_dict": module.state_dict(), "epoch": 0, "global_step": 7, "pytorch-lightning_version": "2.6.6"}
    torch.save(state | {"optimizer_states": [torch.zeros(1000)]}, folder / "checkpoints" / "best.ckpt")
    return folder
