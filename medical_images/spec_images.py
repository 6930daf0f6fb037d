"""The images of a spec: where they are, and what their pixels become."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from medical_images.spec_parts import SpecPart
from medical_images.template import DICOM_EXTENSIONS, PathTemplate

MAX_PIXELS = 100_000_000
Side = Annotated[int, Field(ge=1, le=65_500)]


class Resize(SpecPart):
    """A smaller size that images are given while they are written; only `stretch` enlarges some.

    Attributes:
      max_side: The longest side; the other keeps the shape of the image. Or
      size: Height and width, the same for all images.
      fit: With `size`, `pad` (the shape is kept, and zeros are put evenly around) or `stretch`.
      format: `png`, without loss, or `jpeg`.
      quality: Of JPEG, 1 to 100.
    """

    max_side: Side | None = None
    size: tuple[Side, Side] | None = None
    fit: Literal["pad", "stretch"] = "pad"
    format: Literal["png", "jpeg"] = "png"
    quality: int = Field(default=95, ge=1, le=100)

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.max_side is None) == (self.size is None):
            raise ValueError("give `max_side:` or `size: [height, width]`, and not both")
        if "fit" in self.model_fields_set and self.size is None:
            raise ValueError("`fit:` is for `size:`")
        if "quality" in self.model_fields_set and self.format != "jpeg":
            raise ValueError("`quality:` is for `format: jpeg`")
        return self


class Images(SpecPart):
    """Where the image files are and what their pixels mean.

    Attributes:
      path: A template, or several: `{column}`, `{column[:2]}`, `*` (in one name), `**/` (any
        folders), final `.*` (any image extension). A zip, HDF5 or NIfTI file in it stands as a
        folder.
      exclude: Patterns of paths that are no images, such as `*_mask.png`; `*` also matches `/`.
      channels: 1 (grey), 3 (RGB) or 4 (RGBA) in the dataset.
      dtype: `uint8`, or `uint16` for 12 and 16 bits, of one channel.
      window: What of more than 8 bits becomes 0 to 255: `[center, width]`, or `file`, the window
        that a DICOM file names. Numbers are a window of DICOM files of 8 bits too. Without a window
        such images are refused.
      check: How images are checked while they are written: `full` decodes them, `header` reads
        their headers, `none` only sees what kind they are.
      max_pixels: The largest image accepted, width times height; while one is converted, a worker
        holds up to some 11 bytes a pixel.
      jpeg: Whether JPEG files that readers decode to what is declared are written as they are
        (`keep`), or as `png`, of which all readers give just the same pixels.
      corrupt_scan: What happens to a JPEG file that a lenient decoder reads and a strict one does
        not: `reject`, or `write`.
      alpha: What becomes of pixels that are not opaque, where the dataset has no alpha: `reject`
        the image, `drop` alpha, or put it on `black` or `white`.
      to_grey: What becomes of coloured pixels where the dataset has one channel: `reject` the
        image, or `luma` (ITU-R BT.601).
      orientation: `apply` or `ignore` the orientation that EXIF tells; that of TIFF is applied.
      resize: A smaller size.
      frames: Files of several frames: `reject`, or `all`; then such a DICOM file stands as a folder
        of frames `0001`, `0002`...
      axis: The axis along which a NIfTI volume is cut to images.
      per_row: Whether a row names `one` image, or each of `many` that fit it.
      preamble: The 128 bytes and `DICM` at the beginning of DICOM files: `required` (without it
        they are rejected), or `optional`.
      burned_in: DICOM files that say that text is burned into their pixels: `reject` or `write`.
    """

    path: list[str]
    exclude: list[str] = Field(default=[])
    channels: Literal[1, 3, 4] = 3
    dtype: Literal["uint8", "uint16"] = "uint8"
    window: Literal["file"] | tuple[float, float] | None = None
    check: Literal["full", "header", "none"] = "full"
    max_pixels: int = Field(default=MAX_PIXELS, ge=1)
    jpeg: Literal["keep", "png"] = "keep"
    corrupt_scan: Literal["reject", "write"] = "reject"
    alpha: Literal["reject", "drop", "black", "white"] = "reject"
    to_grey: Literal["reject", "luma"] = "reject"
    orientation: Literal["apply", "ignore"] = "apply"
    resize: Resize | None = None
    frames: Literal["reject", "all"] = "reject"
    axis: Literal[0, 1, 2] = 2
    per_row: Literal["one", "many"] = "one"
    preamble: Literal["required", "optional"] = "required"
    burned_in: Literal["reject", "write"] = "reject"

    @field_validator("path", "exclude", mode="before")
    @classmethod
    def _as_list(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @field_validator("channels", "axis", mode="before")
    @classmethod
    def _as_number(cls, value: Any) -> Any:
        return int(value) if isinstance(value, str) and value.isdigit() else value

    @field_validator("path")
    @classmethod
    def _valid(cls, value: list[str]) -> list[str]:
        if not value:
            raise ValueError("name at least one path template")
        for text in value:
            PathTemplate(text)
        return value

    @field_validator("window", mode="before")
    @classmethod
    def _as_window(cls, value: Any) -> Any:
        if value is None or value == "file":
            return value
        try:
            center, width = map(float, value if isinstance(value, list | tuple) else ())
            if math.isfinite(center) and 0 < width < math.inf:
                return center, width
        except (TypeError, ValueError):
            pass
        raise ValueError("a window is `file`, or [center, width] with a width above 0")

    @model_validator(mode="after")
    def _possible(self) -> Self:
        entered = [c.text.lower() for template in self.templates for c in template.containers]
        if self.frames == "reject" and any(c.endswith(DICOM_EXTENSIONS) for c in entered):
            raise ValueError("a DICOM file stands as a folder of frames only with `frames: all`")
        if self.dtype == "uint16":
            if self.channels != 1:
                raise ValueError("`dtype: uint16` is for `channels: 1`")
            if self.window is not None:
                raise ValueError("a window makes 8 bits of more; leave out `dtype: uint16`")
            if self.resize is not None and self.resize.format == "jpeg":
                raise ValueError("JPEG has 8 bits; write `format: png`")
        if self.channels == 4 and self.resize is not None and self.resize.format == "jpeg":
            raise ValueError("JPEG has no alpha; write `format: png`")
        return self

    @property
    def templates(self) -> tuple[PathTemplate, ...]:
        """The path templates."""
        return tuple(PathTemplate(text) for text in self.path)
