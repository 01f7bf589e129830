"""The user's own images, of which nothing is known, or what a file of truth tells of them for evaluation."""

from fnmatch import fnmatch
from pathlib import Path
from typing import Literal

import numpy as np

from datamodules.image_files import image_paths
from datamodules.image_files.finishing import Stretch
from datamodules.image_files.levels import Levels
from datamodules.image_files.store import GIB, ViewOf, read, whole
from datamodules.image_files.view import View
from datamodules.images_with_truth import ImagesWithTruth, check_arguments
from datamodules.truth import Truth, read_truth
from datamodules.truth.folder import FolderTruth
from renderers.first_process import warn
from renderers.mesh.pinhole import Intrinsics


class ImageFolder(ImagesWithTruth):
    """The images in a folder and those below it; no truth (see StillModule) unless a file tells it.

    They are held in memory as far as ``memory`` goes; where they take more, each is read from its file when it is
    wanted. All are read once before anything begins, so a wrong file shows there.

    PNG, JPEG, WebP and BMP files hold an image each, TIFF files one a page; transparent parts become black. A `.npy`
    file holds images (N, H, W) or (N, H, W, C), or one, (H, W) or (H, W, C), with C = 1, 3 or 4: an array of three
    dimensions is one image where its last is 1, 3 or 4. A FITS file (the extra `fits`) holds one (H, W), or several
    (N, H, W).

    Images of 8 bits stay in 8 bits; 16 bits, whole and real numbers become float32 values, none of them rounded to 8
    bits: x = (raw - offset) / scale.

    Validation and test images are taken at random, always the same ones for the same files, whatever the seed.

    Args:
        folder: where the files are.
        resize: height and width in pixels to which images are scaled, whatever their proportions; null: they are
            left as they are, and must all have one size.
        color: images (3, H, W) if true, else grey (1, H, W).
        val_share, test_share: shares of the images that are held out; one image at least. A test_share of 1 makes all
            images test images, whatever val_share: a folder to measure on.
        scale: the files' numbers from black to white; null: 255 of 8 bits, 65535 of 16 bits, 1 of real values, which
            must then lie in [0, 1]. 4095 suits 12 bits that are stored in 16.
        offset: the files' number that is black: a dark level, the sky's mean.
        truth: a file that tells what the images hold, for evaluation only: JSON of scenes
            (``datamodules.truth.scenes_json``), COCO's or CLEVR's, a CSV of counts, or a folder in BOP's layout. It
            must tell of every image. Where it tells poses they are in the renderer's coordinates; where it tells boxes
            or masks alone, positions are compared as the boxes' centres, in half images. Null: nothing is known.
        files: a pattern that the files' paths below the folder must match, `*/rgb/*`; null: all images there, but
            what is known of them (masks, depth: `masks/`, `depth/` beside `images/`, those of BOP's folders, and the
            truth's own). What the truth tells of the others is not used.
        memory: GiB that the images may take in memory.
        identity: which of the attributes that the truth tells of an object is its identity, `color` of CLEVR's for
            example; `kind`: the format's own (COCO's category, CLEVR's shape, BOP's object); null: none is compared.
        unit: length of the truth's unit in the renderer's, where it tells places in a world of its own (CLEVR's: 1;
            BOP's millimetres in metres: 0.001). They are then compared with the renderer's x, z and yaw, the truth's
            upward z being the renderer's y. `metric`: BOP's places in the camera's frame, in millimetres, are compared
            with x, y, z and yaw as the renderer's camera sees them, in its units; images must then be by that camera,
            to half a pixel. Null: such places are not looked at.
        intrinsics: a camera by which all images are seen, where their own (BOP's cam_K) differ: each is cropped, filled
            up with black and scaled to what that camera would have taken, and its boxes and masks with it. Images then
            have its image_size, unless ``resize`` says another.
        stretch: of figures only: `asinh` shows the faint beside the bright. Models see linear values.
        batch_size, train_scenes, val_scenes, test_scenes, seed: see SceneDataModule; held-out splits have no more
            scenes than images.
    Errors:
        ValueError for a folder without images or with fewer than three, for files that cannot be read, for several
        sizes without ``resize``, for numbers of which none is known to be white, and for a truth that does not go with
        the images, or with the model's renderer.
    """

    def __init__(
        self,
        folder: str,
        resize: tuple[int, int] | None = None,
        color: bool = False,
        val_share: float = 0.1,
        test_share: float = 0.1,
        scale: float | None = None,
        offset: float = 0.0,
        stretch: Stretch = "linear",
        truth: str | None = None,
        files: str | None = None,
        memory: float = 1.0,
        identity: str | None = "kind",
        unit: float | Literal["metric"] | None = None,
        intrinsics: Intrinsics | None = None,
        batch_size: int = 64,
        train_scenes: int = 16_000,
        val_scenes: int = 512,
        test_scenes: int = 2_000,
        seed: int = 0,
    ) -> None:
        super().__init__(batch_size, train_scenes, val_scenes, test_scenes, seed)
        check_arguments(resize, val_share, test_share)
        if not memory >= 0:
            raise ValueError(f"memory must be a number of GiB from 0 on, got {memory}")
        if unit is not None and unit != "metric" and not 0 < unit < float("inf"):
            raise ValueError(
                f"unit must be a positive length in the renderer's unit, got {unit}: 0.001 of millimetres, or metric"
            )
        self.folder = Path(folder).expanduser()
        self.source = f"folder={str(self.folder)!r}"
        # a wrong file shows here, before a run has begun
        content = None if truth is None else read_truth(Path(truth).expanduser())
        view_of: ViewOf = whole
        if intrinsics is not None:
            resize, view_of = resize or intrinsics.image_size, seen_by(intrinsics, content)
        levels, most = Levels(scale, offset), int(memory * GIB)
        paths, left_out = self._paths(files, content)
        held = read(paths, levels, resize, color, most, self.source, view_of)
        of_images = None
        if content is not None:
            sizes = np.array(held.sizes)
            of_images = FolderTruth(content, self.folder, held.places, sizes, identity, unit, view_of, left_out)
        names = (f"{path.relative_to(self.folder).as_posix()} {index}" for path, index in held.places)
        self.hold(held.pixels, of_images, (val_share, test_share), stretch, names)

    def _paths(self, files: str | None, given: Truth | None) -> tuple[list[Path], list[Path]]:
        """The images' files, and others in the folder that ``files`` leaves out."""
        if not self.folder.is_dir():
            raise ValueError(f"{self.source} is not a folder: name the one that holds the images")
        found = image_paths(self.folder)
        inside = found.images if files is None else sorted(found.images + found.aside)
        if not inside:
            raise ValueError(f"{self.source} {found.said_of_none}")
        if said := found.said_of_unread:
            warn(f"{self.source}: {said}")
        if files is not None:
            paths = [path for path in inside if fnmatch(path.relative_to(self.folder).as_posix(), files)]
        else:
            paths = [path for path in inside if given is None or not given.is_aside(path)]
        if not paths:
            reason = f"matches files={files!r}" if files else f"is an image of truth={str(given and given.path)!r}"
            raise ValueError(f"none of the {len(inside)} files in {self.source} {reason} ({inside[0].name} first)")
        return paths, sorted(set(inside).difference(paths)) if files else []


def seen_by(intrinsics: Intrinsics, truth: Truth | None) -> ViewOf:
    """What a camera of these intrinsics sees of an image whose own camera the truth tells.

    Raises:
        ValueError: it does not tell it.
    """
    own = {} if truth is None else {scene.file: scene.camera for scene in truth.scenes if scene.camera is not None}

    def view_of(path: Path, size: tuple[int, int]) -> View:
        matrix = own.get(str(path.resolve()))
        if matrix is None:
            raise ValueError(
                f"intrinsics are those by which all images are to be seen, and nobody tells by which {path} was taken: "
                "give a truth in BOP's layout, with cam_K in scene_camera.json, or leave intrinsics out"
            )
        return View.between(Intrinsics.of(matrix, size[::-1]).lens(), intrinsics.lens(), size)

    return view_of
