"""The JSON and the bytes of a glTF file, every reference of it checked, and what it may make us read."""

import base64
import json
import re
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, unquote_to_bytes

import numpy as np
from numpy.typing import NDArray

from renderers.mesh.files.texts import BROKEN, find, short

Item = dict[str, Any]

# what changes the look of surfaces beyond their base colour, or nothing that is drawn here
BESIDE_THE_POINT = re.compile(
    r"[A-Z]+_materials_\w+|\w+_lights?_\w+|\w+_physics\w*|KHR_animation_pointer|KHR_xmp\w*|KHR_audio\w*|MSFT_lod"
    r"|VRM\w*|OMI_\w+|KHR_node_(selectability|hoverability)|KHR_interactivity|EXT_(mesh|instance)_features|EXT_structural_metadata"
    r"|CESIUM_primitive_outline|KHR_implicit_shapes"
)
# done, or refused where they are met and there is no other way to the same data
DONE = {
    "KHR_mesh_quantization", "KHR_texture_transform", "KHR_draco_mesh_compression", "EXT_mesh_gpu_instancing",
    "KHR_node_visibility", "EXT_meshopt_compression", "KHR_meshopt_compression", "KHR_texture_basisu",
    "EXT_texture_webp", "EXT_texture_avif", "MSFT_texture_dds",
}  # fmt: skip
MESHOPT = ("EXT_meshopt_compression", "KHR_meshopt_compression")


@dataclass(frozen=True, eq=False)
class Document:
    """A glTF 2.0 file: its JSON, and its own binary chunk where it is a GLB."""

    path: Path
    json: Item
    chunk: bytes | None
    buffers: dict[int, bytes] = field(default_factory=dict)  # those that were asked for

    def items(self, kind: str) -> list[Any]:
        """All of the JSON's meshes, nodes, ...; none where it has none."""
        return list(self.json.get(kind) or [])

    def item(self, kind: str, index: object) -> Item:
        """One of them by its number; ValueError where there is none."""
        items = self.items(kind)
        if type(index) is not int or not 0 <= index < len(items):
            raise ValueError(f"it asks for number {index!r} of its {kind}, from 0, and has {len(items)}: {BROKEN}")
        return dict(items[index])

    def required(self, extension: str) -> bool:
        return extension in self.items("extensionsRequired")

    def view(self, index: object) -> memoryview:
        """The bytes of a buffer view."""
        view = self.item("bufferViews", index)
        number, buffer = view["buffer"], self.item("buffers", view["buffer"])
        squeezed = [name for name in MESHOPT if name in view.get("extensions", {})]
        if squeezed and "uri" not in buffer and (self.required(squeezed[0]) or "extensions" in buffer):
            raise ValueError(
                f"its data are compressed by {squeezed[0]}, which is not read: undo it with "
                "`npx @gltf-transform/cli copy in.glb out.glb`, or with gltfpack leave out -c and -cc"
            )
        data, start, length = self._buffer(number), view.get("byteOffset", 0), view["byteLength"]
        if start < 0 or length < 0 or start + length > len(data):
            raise ValueError(
                f"buffer view {index} is bytes {start} to {start + length} of buffer {number}, which has {len(data)}: "
                f"{BROKEN}"
            )
        return memoryview(data)[start : start + length]

    def _buffer(self, index: int) -> bytes:
        if index not in self.buffers:
            buffer = self.item("buffers", index)
            data = self.chunk if "uri" not in buffer and index == 0 else self.resource(buffer.get("uri"), "buffer")
            if data is None or len(data) < buffer["byteLength"]:
                raise ValueError(
                    f"buffer {index} should have {buffer['byteLength']} bytes and has {len(data or b'')}: the file, or "
                    "what belongs to it, was cut off; copy or export it again"
                )
            self.buffers[index] = data
        return self.buffers[index]

    def resource(self, uri: Any, what: str) -> bytes:
        """The bytes that a URI names: those it holds itself, or those of a file, found from the glTF file's folder.

        Errors:
            ValueError for a file that is not there, and for what is none: other schemes than ``data:``, absolute paths.
        """
        if not isinstance(uri, str):
            raise ValueError(f"its {what} has no data, neither a URI nor a buffer view: {BROKEN}")
        if uri[:5].lower() == "data:":
            return _data_uri(uri, what)
        if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:|[/\\]", uri):
            raise ValueError(
                f"it names the {what} {short(uri)}, and only files are read, named from its folder: put it there "
                "and name it so, or export as GLB, which holds everything"
            )
        path = find(unquote(uri), self.path.parent) or find(uri, self.path.parent)
        if path is not None:
            return path.read_bytes()
        raise ValueError(
            f"it names the {what} {short(unquote(uri))}, which is not there: put it there, or export as GLB, which "
            "holds everything"
        )


def _data_uri(uri: str, what: str) -> bytes:
    head, comma, data = uri.partition(",")
    if not comma:
        raise ValueError(f"its {what} is a data URI without data, {uri[:40]!r}: {BROKEN}")
    held = unquote_to_bytes(data)
    return base64.b64decode(held + b"=" * (-len(held) % 4)) if head.lower().endswith(";base64") else held


def vector(values: Any, length: int, name: str) -> NDArray[np.float64]:
    """Numbers of the JSON (length,)."""
    try:
        vector = np.array(values, np.float64)
    except (TypeError, ValueError):
        vector = np.zeros(0)
    if vector.shape != (length,):
        raise ValueError(f"{name} is {str(values)[:40]}, and not {length} numbers: {BROKEN}")
    return vector


def opened(path: Path) -> Document:
    """The document of a GLB or glTF file, whatever its ending.

    Errors:
        ValueError where it is neither, of another version than 2.0, or asks for extensions that are not known here.
    """
    data = path.read_bytes()
    text, chunk = _chunks(data) if data[:4] == b"glTF" else (data, None)
    try:
        content = json.loads(text.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"could not be read (it is no glTF: {error}): {BROKEN}") from error
    document = Document(path, content if isinstance(content, dict) else {}, chunk)
    _check(document)
    return document


def _chunks(data: bytes) -> tuple[bytes, bytes | None]:
    """JSON and binary chunk of a GLB."""
    version, length = struct.unpack("<II", data[4:12].ljust(8, b"\0"))
    if version == 1:
        raise ValueError(_version("1.0"))
    if version != 2 or length > len(data):
        raise ValueError(
            f"could not be read (a GLB of version {version} and {length} bytes, of which {len(data)} are there): the "
            "file was cut off, copy or export it again"
        )
    found, start = dict[bytes, bytes](), 12
    while start + 8 <= length:
        size, kind = struct.unpack("<I4s", data[start : start + 8])
        if start + 8 + size > length:
            raise ValueError(f"could not be read (its chunk {kind!r} should have {size} bytes and has fewer): {BROKEN}")
        found.setdefault(kind, data[start + 8 : start + 8 + size])
        start += 8 + size
    if b"JSON" not in found:
        raise ValueError(f"could not be read (a GLB without JSON): {BROKEN}")
    return found[b"JSON"], found.get(b"BIN\0")


def _version(version: object) -> str:
    return f"it is glTF {version}, and 2.0 is read: export it again as glTF 2.0, or open it in a mesh editor"


def _check(document: Document) -> None:
    asset = document.json.get("asset")
    if not isinstance(asset, dict):
        raise ValueError(f"could not be read (it is no glTF: it has no asset): {BROKEN}")
    version = asset.get("minVersion", asset.get("version"))
    if not re.match(r"2(\.|$)", str(version)) or str(asset.get("minVersion", "2.0")) != "2.0":
        raise ValueError(_version(version))
    for name in document.items("extensionsRequired"):
        if name not in DONE and not BESIDE_THE_POINT.fullmatch(str(name)):
            raise ValueError(f"it requires the extension {name}, which is not known here: export it without")
