"""Materials of glTF: factor, texture and transparency of the base colour; glTF 2.0, 3.9."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from renderers.mesh.files.gltf.document import Document, Item, vector
from renderers.mesh.files.images import Pixels, read_image
from renderers.mesh.files.part import GREY, Array, Texture, Wrap
from renderers.mesh.files.texts import short
from renderers.mesh.srgb import decoded

WRAPS: dict[int, Wrap] = {33071: "clamp", 33648: "mirror", 10497: "repeat"}
GLOSSY = "KHR_materials_pbrSpecularGlossiness"
IMAGES = ("EXT_texture_webp", "EXT_texture_avif", "MSFT_texture_dds")  # that Pillow may read
BASIS = "KHR_texture_basisu"
KTX2 = b"\xabKTX 20\xbb"
UNSEEN = 0.05  # alpha of what is blended, below which it is not seen


class Coat(NamedTuple):
    """What colours a surface: a linear RGBA factor, and a texture with where it lies.

    Attributes:
        texcoord: which of the vertices' sets of texture coordinates.
        transform: (2, 3), of these; KHR_texture_transform.
        least: alpha of factor and vertices below which nothing is there; None: opaque.
        there: the texture's texels (H, W) that are there; None: all.
    """

    factor: Array
    texture: Texture | None = None
    texcoord: int = 0
    transform: Array = np.eye(2, 3)
    least: float | None = None
    opaque: NDArray[np.bool_] | None = None


class Coats:
    """The coats of a document's materials, each texture read once."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._made: dict[object, Coat] = {}

    def of(self, material: object, colored: bool) -> Coat:
        """That of a material by its number; of none, white where the vertices have colours, else grey."""
        if material is None:
            return Coat(np.append(np.ones(3) if colored else decoded(GREY), 1.0))
        if material not in self._made:
            self._made[material] = self._coat(self._document.item("materials", material))
        return self._made[material]

    def _coat(self, material: Item) -> Coat:
        factor, info = _base(material)
        mode, cutoff = (
            material.get("alphaMode", "OPAQUE"),
            vector([material.get("alphaCutoff", 0.5)], 1, "alphaCutoff")[0],
        )
        coat = Coat(factor, least={"MASK": cutoff, "BLEND": UNSEEN}.get(mode))
        pixels, wrap = self._texture(info)
        if info is None or pixels is None:
            return coat
        transform = info.get("extensions", {}).get("KHR_texture_transform", {})
        coat = coat._replace(texcoord=transform.get("texCoord", info.get("texCoord", 0)), transform=_affine(transform))
        if coat.least is None or pixels.shape[2] == 3:
            return coat._replace(texture=Texture(pixels[..., :3], wrap))
        alpha = pixels[..., 3] * (factor[3] / np.iinfo(pixels.dtype).max)
        there = alpha >= (cutoff if mode == "MASK" else max(alpha.max() / 2, UNSEEN))
        texture = Texture(_spread(pixels[..., :3], there), wrap)
        return coat._replace(texture=texture, opaque=None if there.all() else there)

    def _texture(self, info: Item | None) -> tuple[Pixels | None, tuple[Wrap, Wrap]]:
        """Its pixels, None where it has no image, and how it goes on."""
        texture = self._document.item("textures", info["index"]) if info is not None else {}
        sampler = self._document.item("samplers", texture["sampler"]) if "sampler" in texture else {}
        wrap = WRAPS.get(sampler.get("wrapS", 0), "repeat"), WRAPS.get(sampler.get("wrapT", 0), "repeat")
        given = [texture, *(texture.get("extensions", {}).get(name, {}) for name in (*IMAGES, BASIS))]
        sources = [some["source"] for some in given if "source" in some]
        return self._image(sources[0]) if sources else None, wrap

    def _image(self, index: object) -> Pixels:
        image = self._document.item("images", index)
        if "bufferView" in image:
            name, data = f"number {index}", bytes(self._document.view(image["bufferView"]))
        else:
            name, data = short(str(image.get("uri"))), self._document.resource(image.get("uri"), "image")
        if data.startswith(KTX2):
            raise ValueError(
                f"the image {name} is KTX2 ({BASIS}), which is not read: make it PNG with `npx @gltf-transform/cli "
                "ktxdecompress in.glb out.glb`"
            )
        return read_image(data, name)


def _base(material: Item) -> tuple[Array, Item | None]:
    """Factor (4,) and texture of the base colour. Of a black surface that glows, those of its glow."""
    coat = material.get("pbrMetallicRoughness", {})
    factor, info = coat.get("baseColorFactor", [1, 1, 1, 1]), coat.get("baseColorTexture")
    if GLOSSY in material.get("extensions", {}):
        coat = material["extensions"][GLOSSY]
        factor, info = coat.get("diffuseFactor", [1, 1, 1, 1]), coat.get("diffuseTexture")
    color, glow = vector(factor, 4, "the base colour"), vector(material.get("emissiveFactor", [0, 0, 0]), 3, "the glow")
    if not color[:3].any() and glow.any():
        color[:3], info = glow, material.get("emissiveTexture")
    return color, info


def _affine(transform: Item) -> Array:
    """(2, 3): texture coordinates are scaled, turned counter-clockwise, v being downward, and moved."""
    given = [*transform.get("scale", [1, 1]), *transform.get("offset", [0, 0]), transform.get("rotation", 0)]
    x, y, u, v, turn = vector(given, 5, "KHR_texture_transform")
    return np.array([[np.cos(turn) * x, np.sin(turn) * y, u], [-np.sin(turn) * x, np.cos(turn) * y, v]])


def _spread(pixels: Pixels, there: NDArray[np.bool_]) -> Pixels:
    """The texels of ``there``, and in the others' places what is next to them, for these have any colour."""
    if there.all() or not there.any():
        return pixels
    rows, columns = distance_transform_edt(~there, return_distances=False, return_indices=True)
    return pixels[rows, columns]
