"""Images with masks and depth beside them, and `scenes.json`, which ``datamodules.truth.scenes_json`` describes."""

from collections.abc import Iterable

from air_lightning.commands.formats.json_stream import write_json
from air_lightning.commands.formats.pictures import save_array, save_labels
from air_lightning.commands.scenes.formats.base import Format, Row
from air_lightning.commands.scenes.scene import Scene, Thing


class PNG(Format):
    """`images/`, `scenes.json`, and where they are known `masks/` and `depth/`.

    A mask is a grey image with i where the i-th object is, 0 elsewhere; depth is float32, infinite where no object is.
    """

    name = "png"

    def check(self) -> None:
        pass  # whatever is known

    def add(self, scene: Scene) -> Row:
        stem = f"{scene.number:06d}"
        row: Row = {"file": self._save_image(self.folder / "images" / stem, scene), "count": len(scene.things)}
        save_details(self, stem, scene)
        if self.facts.masks:
            row["mask"] = f"../masks/{stem}.mask.png"
        if self.facts.depth:
            row["depth"] = f"../depth/{stem}.npy"
        if self.facts.coordinates or self.facts.boxes or self.facts.identities is not None:
            row["objects"] = [_object(thing) for thing in scene.things]
        return row

    def finish(self, rows: Iterable[Row]) -> None:
        write_json(self.folder / "scenes.json", {"images": iter(rows)})


def save_details(form: Format, stem: str, scene: Scene) -> None:
    """Masks and depth of a scene, where they are known, in folders of their own."""
    if form.facts.masks:
        folder = form.folder / "masks"
        folder.mkdir(exist_ok=True)
        save_labels(folder / f"{stem}.mask.png", scene.masks)
    save_distances(form, stem, scene)


def save_distances(form: Format, stem: str, scene: Scene) -> None:
    """Depth of a scene, where it is known, in a folder of its own."""
    if scene.depth is not None:
        folder = form.folder / "depth"
        folder.mkdir(exist_ok=True)
        save_array(folder / f"{stem}.npy", scene.depth)


def _object(thing: Thing) -> Row:
    named = {} if thing.name is None else {"kind": thing.name}
    return named | thing.pose | ({} if thing.box is None else {"box": list(thing.box)})
