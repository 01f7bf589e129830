"""Small glTF files, written by the letter of the specification and by nobody's library."""

import json
import struct
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

COMPONENTS = {"int8": 5120, "uint8": 5121, "int16": 5122, "uint16": 5123, "uint32": 5125, "float32": 5126}
TYPES = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4", 16: "MAT4"}

SQUARE = np.array([[-1, 0, 1], [1, 0, 1], [1, 0, -1], [-1, 0, -1]], np.float32)  # on the table, seen from above
FACES = np.array([0, 1, 2, 0, 2, 3], np.uint16)
UV = np.array([[0, 1], [1, 1], [1, 0], [0, 0]], np.float32)  # the image upright, seen from above
RED, GREEN, BLUE, YELLOW = [255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0]
FLAG = np.array([[RED, GREEN], [BLUE, YELLOW]], np.uint8)


class Gltf:
    """A file in the making: ``json`` may be changed at will before it is written."""

    def __init__(self) -> None:
        self.json: dict[str, Any] = {"asset": {"version": "2.0"}, "scene": 0, "scenes": [{"nodes": [0]}]}
        self.json |= {"nodes": [{"mesh": 0}], "meshes": []}
        self.data = b""

    def add(self, kind: str, item: Any) -> int:
        """The number of one more of a kind: materials, accessors, ..."""
        self.json.setdefault(kind, []).append(item)
        return len(self.json[kind]) - 1

    def view(self, data: bytes, **more: Any) -> int:
        self.data += b"\0" * (-len(self.data) % 4)
        start, self.data = len(self.data), self.data + data
        return self.add("bufferViews", {"buffer": 0, "byteOffset": start, "byteLength": len(data), **more})

    def accessor(self, array: NDArray[Any], **more: Any) -> int:
        rows = array.reshape(len(array), -1)
        place = {"bufferView": self.view(rows.tobytes()), "count": len(rows), "type": TYPES[rows.shape[1]]}
        return self.add("accessors", {**place, "componentType": COMPONENTS[str(array.dtype)], **more})

    def primitive(self, positions: NDArray[Any] = SQUARE, faces: Any = FACES, **more: Any) -> dict[str, Any]:
        """One of a mesh; attributes of capital letters, and all else as it is given."""
        attributes = {
            name: self.accessor(value) if isinstance(value, np.ndarray) else value for name, value in more.items()
        }
        rest = {name: attributes.pop(name) for name in list(attributes) if not name.isupper()}
        attributes["POSITION"] = self.accessor(positions)
        indices = {} if faces is None else {"indices": self.accessor(faces)}
        return {"attributes": attributes, **indices, **rest}

    def mesh(self, *primitives: dict[str, Any], **more: Any) -> int:
        return self.add("meshes", {"primitives": list(primitives), **more})

    def texture(self, given: NDArray[Any] | bytes, **sampler: Any) -> int:
        if not isinstance(given, bytes):
            given = png(Image.fromarray(given))
        image = self.add("images", {"bufferView": self.view(given), "mimeType": "image/png"})
        texture = {"source": image, "sampler": self.add("samplers", sampler)} if sampler else {"source": image}
        return self.add("textures", texture)

    def material(self, factor: Any = None, texture: int | None = None, info: Any = None, **more: Any) -> int:
        """One of a base colour; ``info``: what the texture has beside its number."""
        base = {} if factor is None else {"baseColorFactor": factor}
        if texture is not None:
            base["baseColorTexture"] = {"index": texture, **(info or {})}
        return self.add("materials", {"pbrMetallicRoughness": base, **more})

    def write(self, path: Path) -> Path:
        """As GLB; as glTF with its buffer beside it where the ending says so."""
        if path.suffix == ".gltf":
            (path.parent / "data.bin").write_bytes(self.data)
            buffers = [{"uri": "data.bin", "byteLength": len(self.data)}]
            path.write_text(json.dumps({"buffers": buffers, **self.json}))
        else:
            content = {"buffers": [{"byteLength": len(self.data)}], **self.json}
            path.write_bytes(glb(json.dumps(content).encode(), self.data))
        return path


def glb(text: bytes, data: bytes) -> bytes:
    text, data = text + b" " * (-len(text) % 4), data + b"\0" * (-len(data) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(data), b"BIN\0") + data
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def png(image: Image.Image, **options: Any) -> bytes:
    stream = BytesIO()
    image.save(stream, "PNG", **options)
    return stream.getvalue()


def flag(**changes: Any) -> Gltf:
    """A square under a texture of four quarters."""
    file = Gltf()
    file.mesh(file.primitive(TEXCOORD_0=UV, **{"material": file.material(texture=file.texture(FLAG)), **changes}))
    return file
