"""A corpus that tells of patients wherever it can, and a search for what of it is left elsewhere.

A token says where it was planted. So does the key by which patients are hidden.
"""

import base64
import io
import logging
import os
import pathlib
import re
import struct
import zlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from faults import build_by_beam, build_by_command, build_with_fault, is_private, killed, tree
from PIL import Image, PngImagePlugin

KEY = b"KQkeyKQ of a test, which is not to be found in any file"
TOKEN = re.compile(
    rb"zqqz[a-z]+\d*|1931-04-17|19310417|z\x00q\x00q\x00z\x00[a-z\x00]+", re.IGNORECASE
)
SPEC = """\
name: mine
tables:
  - path: scans.csv
  - {path: patients.csv, join: {on: patient, cardinality: many_to_one}}
derive: {visit: {from: scan, pattern: '(\\d+)$'}}
images: {path: "**/{scan}.*"}
features:
  label: {column: dx, type: class, values: [nv, mel]}
  age: {type: float}
  id: {column: scan, type: id}
  visit: {type: text}
  born: {type: text}
supervised: label
group: patient
splits: {train: 0.75, test: 0.25}
privacy:
  pseudonymize: [patient, scan, visit]
  shift_dates: {columns: [born], by: patient}
"""


def write_planted(folder, *, num_images=12):
    """Writes the corpus; returns its spec, which stands in a folder that holds a token too."""
    folder = folder / "ZQQZspec"
    (folder / "images" / "ZQQZfolder").mkdir(parents=True)
    scans = ["scan,patient,surname,ZQQZheader,dx,age"]
    random = np.random.default_rng(0)
    for k in range(num_images):
        pixels = random.integers(0, 256, (8, 8, 3), np.uint8)
        kind = ("png", "jpg")[k % 2]
        data = planted_image(Image.fromarray(pixels), kind)
        (folder / "images" / "ZQQZfolder" / f"ZQQZfile{k:02}.{kind}").write_bytes(data)
        cells = f"ZQQZfile{k:02},ZQQZpatient{k // 2:02},ZQQZsurname{k // 2:02},ZQQZcell{k:02}"
        scans.append(f"{cells},{('nv', 'mel')[k % 4 == 0]},{40 + k}")
    patients = ["patient,born,ZQQZother"]
    patients += [f"ZQQZpatient{k:02},1931-04-17,ZQQZnote{k:02}" for k in range(num_images // 2)]
    for name, lines in {"scans.csv": scans, "patients.csv": patients}.items():
        (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "corpus.yaml").write_text(SPEC, encoding="utf-8")
    return folder / "corpus.yaml"


def planted_image(image, kind):
    """An image file with a token in each place that its format has for text."""
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x010E], exif[0x9C9F] = "ZQQZexif", "ZQQZwide".encode("utf-16-le")
    if kind == "png":
        texts = PngImagePlugin.PngInfo()
        texts.add_text("Comment", "ZQQZtext")
        texts.add_text("Author", "ZQQZpressed", zip=True)
        texts.add_itxt("Title", "ZQQZitext", zip=True)
        texts.add_itxt("XML:com.adobe.xmp", "<x>ZQQZxmp</x>")
        texts.add(b"prVt", b"ZQQZprivate.")
        image.save(file, "png", exif=exif, pnginfo=texts)
        return file.getvalue() + b"ZQQZafter"
    image.save(file, "jpeg", quality=95, exif=exif, comment=b"ZQQZcomment", xmp=b"<x>ZQQZxmp</x>")
    start, rest = file.getvalue()[:2], file.getvalue()[2:]
    segments = {0xED: b"Photoshop 3.0\0ZQQZiptc.", 0xE9: b"ZQQZprivate."}
    made = b"".join(
        b"\xff%c" % mark + struct.pack(">H", len(text) + 2) + text
        for mark, text in segments.items()
    )
    return start + made + rest + b"ZQQZafter"


DICOM_SPEC = """\
name: mine
derive: {patient: {from: dicom.PatientID}, studied: {from: dicom.StudyDate}}
images: {path: "images/{scan}.dcm", channels: 1, window: [128, 256]}
features:
  studied: {type: text}
  side: {column: side, type: class, values: [L, R]}
supervised: side
group: patient
splits: {train: 0.75, test: 0.25}
privacy:
  pseudonymize: [patient]
  shift_dates: {columns: [studied], by: patient, format: "%Y%m%d"}
tables: [{path: scans.csv}]
"""


def write_dicom_files(folder, *, num_images):
    """Writes a corpus of DICOM files, with a token in each field that is free."""
    import pydicom
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    (folder / "images").mkdir(parents=True)
    lines = ["scan,side"]
    for k in range(num_images):
        file = pydicom.Dataset()
        file.file_meta = pydicom.dataset.FileMetaDataset()
        file.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        file.SOPClassUID, file.SOPInstanceUID = CTImageStorage, generate_uid()
        file.PatientID, file.PatientName = f"ZQQZpatient{k // 2:02}", "ZQQZname"
        file.StudyDate, file.InstitutionName = "19310417", "ZQQZhospital"
        file.StudyDescription, file.ImageComments = "ZQQZstudy", "ZQQZcomment"
        file.private_block(0x0011, "ZQQZcreator", create=True).add_new(1, "LO", "ZQQZprivate")
        file.Rows = file.Columns = 8
        file.BitsAllocated = file.BitsStored = 8
        file.HighBit, file.PixelRepresentation, file.SamplesPerPixel = 7, 0, 1
        file.PhotometricInterpretation = "MONOCHROME2"
        file.PixelData = bytes(range(k, k + 64))
        file.save_as(folder / "images" / f"ZQQZfile{k:02}.dcm", enforce_file_format=True)
        lines.append(f"ZQQZfile{k:02},{'LR'[k % 2]}")
    (folder / "scans.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "corpus.yaml").write_text(DICOM_SPEC, encoding="utf-8")


def build_hidden(spec, data, *options, key=KEY, make=build_by_command):
    """Builds with a key in the environment, and with a folder for what is left beside the data."""
    aside = pathlib.Path(data).with_name("aside")
    aside.mkdir(exist_ok=True)
    # A server starts processes with its own environment, so they are given theirs here.
    os.environ |= {"TMPDIR": str(aside), "XDG_STATE_HOME": str(aside), "HOME": str(aside)}
    os.environ.pop("MEDICAL_IMAGES_KEY", None)
    if key is not None:
        os.environb[b"MEDICAL_IMAGES_KEY"] = key
    logging.basicConfig(level=logging.INFO)
    make(spec, data, *options)


def build_without_key(spec, data):
    """The same without the key that the spec asks for."""
    build_hidden(spec, data, key=None)


def build_hidden_by_beam(spec, data):
    """The same by Beam."""
    build_hidden(spec, data, make=build_by_beam)


def build_hidden_and_die(spec, data, at):
    """The same, killed at a step."""
    build_with_fault(killed, at, ("open",), build_hidden, spec, data)


def tokens_in(content):
    """The tokens in bytes, and the key, also where it is written in digits."""
    found = {match.group().decode("latin-1") for match in TOKEN.finditer(content)}
    spellings = {KEY, KEY.hex().encode(), base64.b64encode(KEY)[:-4]}
    return found | {"the key" for spelling in spellings if spelling in content}


def tokens_below(folder):
    """{name of a file: the tokens in it} of all files and folders below a folder.

    Those for their owner only are left out: Beam's while it works, and rejects.
    """
    folder = pathlib.Path(folder)
    private = [path for path in folder.rglob("*") if path.is_dir() and is_private(path)]
    found = {}
    for name, content in tree(folder).items() if folder.exists() else ():
        path = folder / name
        if not any(other in path.parents for other in private):
            content = b"\n".join([content, *_unpacked(path)])
            found[name] = tokens_in(content) | tokens_in(name.encode())
    return {name: tokens for name, tokens in found.items() if tokens}


def _unpacked(path):
    """What a file holds that its bytes do not show."""
    if path.suffix in (".parquet", ".arrow"):
        with path.open("rb") as file:
            is_parquet = path.suffix == ".parquet"
            table = pq.read_table(file) if is_parquet else pa.ipc.open_file(file).read_all()
        yield table.to_pandas().to_csv().encode()
        yield repr(table.schema.metadata).encode()
    elif ".array_record" in path.name and not path.name.startswith("incomplete"):
        from array_record.python.array_record_module import ArrayRecordReader

        reader = ArrayRecordReader(str(path))
        records = [reader.read() for _ in range(reader.num_records())]
        reader.close()
        yield from (part for record in records for part in (record, *_unpressed(record)))
    else:
        yield from _unpressed(path.read_bytes())


def _unpressed(content):
    """What stands compressed in text chunks of PNG files, wherever these lie in the bytes."""
    for match in re.finditer(
        rb"(?:zTXt|iTXt|iCCP).{1,200}?(\x78[\x01\x5e\x9c\xda])", content, re.S
    ):
        try:
            yield zlib.decompressobj().decompress(content[match.start(1) :])
        except zlib.error:
            continue
