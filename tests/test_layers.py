"""Imports go one way, and the heavy ones come late."""

import ast
import pathlib

from conftest import run_python

import medical_images

PACKAGE = pathlib.Path(medical_images.__file__).parent

# Each module may import those of the lines above its own, and of its own line none.
LAYERS = [
    {
        "_version",
        "backbones",
        "batching",
        "copy_plan",
        "errors",
        "fusion_layers",
        "grouping",
        "image_kinds",
        "line",
        "paths",
        "phantom_images",
        "progress",
        "read_ahead",
        "sheets",
        "spec_docstrings",
        "spec_parts",
        "template",
    },
    {
        "beam_line",
        "build_lock",
        "catalog",
        "explode",
        "fields",
        "fusion",
        "metadata_segments",
        "opening",
        "phantom",
        "record_files",
        "rejects",
        "remote",
        "spec_features",
        "spec_images",
        "spec_splits",
        "table_files",
        "yaml_source",
    },
    {
        "dataset_index",
        "image_checks",
        "image_headers",
        "name_clashes",
        "overwriting",
        "pixels",
        "resizing",
        "spec_masks",
        "texts",
    },
    {
        "dataset_certificate",
        "dicom",
        "host_shares",
        "line_slices",
        "manifest",
        "masks",
        "record_labels",
        "spec_feature_types",
        "table_reader",
    },
    {
        "across_rows",
        "containers",
        "findings",
        "prepared_image",
        "rebalancing",
        "spec_privacy",
        "spec_problems",
        "values",
        "verification",
    },
    {"beam_parts", "class_weights", "members", "sampling", "spec", "transforms"},
    {
        "beam_workers",
        "croissant_records",
        "image_bytes",
        "images",
        "input_files",
        "privacy_key",
        "reading",
        "spec_schema",
        "tables",
    },
    {
        "audit",
        "beam_tables",
        "croissant",
        "epoch_elements",
        "header_facts",
        "matching",
        "official",
        "spec_guide",
    },
    {"checked", "drafting", "loading", "pseudonyms", "report"},
    {"acceptance", "infer", "join"},
    {"copies", "features", "index_writing", "mask_bytes", "shards", "strata"},
    {"beam_join", "example_sources", "examples", "facts"},
    {"beam_reading", "scheme", "shard_writing", "unbuilt_split"},
    {
        "beam_survey",
        "beam_writing",
        "dataset_writing",
        "leftovers",
        "local_engine",
        "plan",
        "shard_findings",
        "tally",
    },
    {"plan_warnings", "tried_images"},
    {"certification"},
    {"beam_planning", "corpus"},
    {"beam_corpus"},
    {"engines"},
    {"rounds"},
    {"medical_images_dataset_builder"},
    {"unbuilt"},
    {"checking"},
    {"__init__"},
    {"cli"},
]
LEVEL = {module: level for level, modules in enumerate(LAYERS) for module in modules}
LOAD_SIDE = [
    "backbones", "batching", "class_weights", "copy_plan", "dataset_certificate", "dataset_index",
    "epoch_elements", "fields", "fusion", "fusion_layers", "host_shares",
    "line_slices", "loading", "reading", "rebalancing", "record_labels", "sampling", "verification",
]  # fmt: skip
PURE = {
    "class_weights",
    "copy_plan",
    "rebalancing",
    "record_labels",
    "errors",
    "template",
    "spec",
    "spec_splits",
    "official",
    "explode",
    "across_rows",
    "name_clashes",
    "image_kinds",
    "metadata_segments",
    "image_headers",
    "pixels",
    "resizing",
    "masks",
    "prepared_image",
    "values",
    "rejects",
    "matching",
    "pseudonyms",
    "findings",
    "join",
    "grouping",
    "strata",
    "facts",
    "scheme",
    "plan",
    "tally",
    "plan_warnings",
    "certification",
}

AUDITS = ["association", "give_away", "record_numbers", "spellings"]


def imports_of(path: pathlib.Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            if node.module == "medical_images":
                found |= {f"medical_images.{alias.name}" for alias in node.names}
            found.add(node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def module_of(path: pathlib.Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def test_every_module_imports_only_lower_ones():
    for path in PACKAGE.rglob("*.py"):
        module = module_of(path)
        for name in imports_of(path):
            parts = name.split(".")
            if parts[0] == "medical_images" and len(parts) > 1 and parts[1] in LEVEL:
                assert parts[1] == module or LEVEL[parts[1]] < LEVEL[module], (module, name)


def test_pure_modules_import_neither_tensorflow_nor_beam():
    heavy = {"tensorflow", "tensorflow_datasets", "apache_beam"}
    folders = [*PACKAGE.glob("line/*.py"), *PACKAGE.glob("drafting/*.py")]
    audits = [PACKAGE / "audit" / f"{name}.py" for name in AUDITS]
    for path in [*(PACKAGE / f"{name}.py" for name in PURE), *folders, *audits]:
        imported = {name.split(".")[0] for name in imports_of(path)}
        assert not imported & heavy, path


def test_beam_is_imported_only_in_modules_that_are_named_for_it():
    users = {module_of(path) for path in PACKAGE.rglob("*.py") if "apache_beam" in imports_of(path)}
    assert all(name.startswith("beam_") for name in users), users


def test_the_load_side_does_not_know_the_build_side():
    build_side = {"spec", "tables", "join", "plan", "shards", "corpus", "line", "copies"}
    load_side = [PACKAGE / f"{name}.py" for name in LOAD_SIDE]
    for path in [*PACKAGE.glob("transforms/*.py"), *load_side]:
        used = {
            name.split(".")[1] for name in imports_of(path) if name.startswith("medical_images.")
        }
        assert not used & build_side, path.name


def test_importing_the_package_registers_the_builder_without_tensorflow_and_beam():
    seen = run_python(
        """
import sys, medical_images, tensorflow_datasets as tfds
print({"tensorflow", "apache_beam"} & set(sys.modules), "medical_images" in tfds.list_builders())
"""
    )
    assert seen.split() == ["set()", "True"]
