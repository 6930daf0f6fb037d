"""Trains a small network on the phantom: with and without oversampling, and metadata.

    python examples/train_phantom.py --plot recall.svg

It makes a phantom (synthetic images, see `medical_images/phantom.py`), builds it, and trains the
same network in four ways, for the same number of steps each, with several seeds. It prints the
recall of each class in the test split: mean and standard deviation over the seeds. The test split
is half of the images, as a tenth would hold a handful of the rare classes; nothing is chosen by it.

What can be expected: nv, mel and bcc differ in their look. bkl and akiec have one look, and so have
vasc and df: whoever sees images alone has to guess, and the recalls of such a pair add up to about
1, however often the rarer one was repeated. Only the age, sex and site of the patient tell them
apart. 1 nv in 20 looks like a mel, and 1 mel in 8 like a nv. On one machine, the same arguments
give the same figures.
"""

import argparse
import pathlib
import tempfile
import time
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow_datasets as tfds

import medical_images as mi

# {name: (oversample=, whether metadata are used)}
ARMS = {
    "plain": (None, False),
    "oversampled": ("balanced", False),
    "metadata": (None, True),
    "oversampled, metadata": ("balanced", True),
}
BALANCED = "balanced accuracy"  # the mean of the recalls of all classes


def main() -> None:
    """Trains and tests all arms, and prints what came out."""
    args = parse_args()
    begin = time.perf_counter()
    tfds.disable_progress_bar()
    with tempfile.TemporaryDirectory() as folder:
        builder = build_phantom(pathlib.Path(folder), args)
        counts = {split: mi.class_counts(builder, split) for split in ("train", "test")}
        print(
            f"{args.steps} steps of {args.batch_size} images of {args.size}x{args.size} each time"
        )
        print_table(counts)
        runs = pd.DataFrame(run_arms(builder, args)).set_index(["arm", "seed"])
    print_table(summary(runs))
    print(f"recall in the test split: mean ± standard deviation, seeds of training: {args.seeds}")
    print(f"{time.perf_counter() - begin:.0f} s in all")
    if args.plot:
        plot(runs, args.plot)


def parse_args() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=6000, help="images of the phantom")
    parser.add_argument("--size", type=int, default=64, help="height and width of the images")
    parser.add_argument("--steps", type=int, default=200, help="training steps, of each arm")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--seeds", type=int, default=3, help="how often each arm is trained")
    parser.add_argument("--phantom-seed", type=int, default=0, help="another one: other images")
    parser.add_argument("--how", default="concat", help="concat, branch, film or channels")
    parser.add_argument("--plot", type=pathlib.Path, help="an image file to write")
    return parser.parse_args()


def build_phantom(folder: pathlib.Path, args: argparse.Namespace) -> tfds.core.DatasetBuilder:
    """Writes and builds a phantom, with half of its patients for the test."""
    spec = mi.write_phantom(
        folder / "corpus",
        num_images=args.images,
        height=args.size,
        width=args.size,
        seed=args.phantom_seed,
    )
    lines = spec.read_text().splitlines()
    halves = "splits: {train: 0.5, test: 0.5}"
    lines = [halves if line.startswith("splits:") else line for line in lines]
    spec.write_text("\n".join(lines))
    config = mi.MedicalImagesConfig(name="phantom_halves", spec=spec)
    builder = mi.Builder(config=config, data_dir=folder / "data")
    builder.download_and_prepare()
    return builder


def run_arms(
    builder: tfds.core.DatasetBuilder, args: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    """Trains and tests each arm with each seed, and yields its recalls."""
    encoder = mi.MetadataEncoder.fit(builder, "train", features=["age", "sex", "site"])
    for arm, (oversample, with_metadata) in ARMS.items():
        for seed in range(args.seeds):
            keras.utils.set_random_seed(seed)
            model = make_model(builder, args, encoder if with_metadata else None)
            reading = {
                "image_size": (args.size, args.size),
                "metadata": encoder if with_metadata else None,
                "as_supervised": True,
            }
            training = mi.load(
                builder,
                "train",
                batch_size=args.batch_size,
                oversample=oversample,
                drop_remainder=True,
                seed=seed,
                **reading,
            )
            # Not for so many epochs, as one is longer with oversampling, but for so many steps.
            model.fit(training.repeat(), steps_per_epoch=args.steps, shuffle=False, verbose=0)
            test = mi.load(builder, "test", batch_size=256, **reading)
            yield {"arm": arm, "seed": seed, **recalls(model, test, builder)}


def make_model(
    builder: tfds.core.DatasetBuilder, args: argparse.Namespace, encoder: mi.MetadataEncoder | None
) -> keras.Model:
    """Makes the network of an arm; all begin with the same convolutions."""
    shape = (args.size, args.size, 3)
    model = mi.fusion.classifier(
        mi.fusion.small_cnn(shape, filters=(8, 16, 32, 64)),
        image_shape=shape,
        num_classes=builder.info.features["label"].num_classes,
        metadata=encoder,
        how=args.how,
    )
    rate = keras.optimizers.schedules.CosineDecay(0.003, args.steps)
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy")
    return model


def recalls(
    model: keras.Model, test: object, builder: tfds.core.DatasetBuilder
) -> dict[str, float]:
    """Returns the share of the images of each class that are recognised, and the mean of these."""
    names = builder.info.features["label"].names
    found = np.array(names)[model.predict(test, verbose=0).argmax(axis=1)]
    true = mi.index(builder, "test")["label"].to_numpy()  # the test split is read in written order
    each = {name: np.mean(found[true == name] == name) for name in names}
    return {**each, BALANCED: np.mean(list(each.values()))}


def summary(runs: pd.DataFrame) -> dict[str, dict[str, str]]:
    """Returns for each arm the mean and the standard deviation of each recall."""
    by_arm = runs.groupby("arm", sort=False)
    mean, spread = by_arm.mean(), by_arm.std().fillna(0)
    return {
        arm: {name: f"{mean.loc[arm, name]:.2f} ± {spread.loc[arm, name]:.2f}" for name in mean}
        for arm in mean.index
    }


def print_table(rows: Mapping[str, Mapping[str, Any]]) -> None:
    """Prints a line for each row."""
    print(pd.DataFrame.from_dict(rows, orient="index").to_string(), flush=True)


def plot(runs: pd.DataFrame, path: pathlib.Path) -> None:
    """Draws the recalls: a bar for the mean, and a dot for each seed."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(runs.columns))
    for number, (arm, own) in enumerate(runs.groupby("arm", sort=False)):
        at = places + 0.2 * (number - 1.5)
        axes.bar(at, own.mean(), width=0.18, label=arm, alpha=0.6)
        axes.plot(at, own.to_numpy().T, "k.", markersize=4)
    axes.set_xticks(places, runs.columns)
    axes.set_ylabel("recall")
    axes.set_ylim(0, 1.02)
    figure.legend(loc="outside upper center", ncols=len(ARMS), frameon=False)
    figure.savefig(path)


if __name__ == "__main__":
    main()
