"""Laws of the coordinates that the objects of one image share."""

import torch

from air_lightning.testing.drawing import Findings
from air_lightning.testing.report import Skipped
from air_lightning.testing.subject import Subject

CLOSE = 1e-4


def scene(s: Subject) -> Findings:
    """Each image has its own values of the scene's coordinates, each of them shows, and places go with them."""
    space = s.renderer.scene
    if space is None:
        raise Skipped("no coordinates of the scene")
    what, where = s.scenes()[:2]
    u = torch.randn(len(where), len(space), generator=torch.Generator().manual_seed(2))
    values = space.constrain(u).to(where)
    images = s.renderer.at(values).render(what, where)
    for b in range(len(values)):
        one = slice(b, b + 1)
        gap = float((s.renderer.at(values[one]).render(what[one], where[one]) - images[one]).abs().max())
        if not gap <= CLOSE:
            yield (
                f"image {b} of {len(values)} differs by {gap:.3g} from the same scene drawn alone",
                "read the values of a pose's own scene: scene_of(where), and scene_values row by row in background",
            )
            break
    for move, c in zip(torch.diag(space.steps(values)), space.coordinates):
        shown = (s.renderer.at(values + move).render(what, where) - images).abs().flatten(1).amax(1) > 0
        if shown.sum() < len(values) / 2:
            yield (
                f"the step {c.step:g} of {c.name!r} changes {int(shown.sum())} of {len(values)} images",
                "raise it to what moves the image by half a pixel to a pixel, or leave the coordinate out",
            )
    placed = s.renderer.at(values)
    centers, half = placed.project(where)
    if centers.shape != (*where.shape[:2], 2) or half.shape != where.shape[:2]:
        yield (
            f"of poses {tuple(where.shape)} project gave {tuple(centers.shape)} and {tuple(half.shape)}",
            "keep leading dimensions: scene_of(where) has the poses' own",
        )
