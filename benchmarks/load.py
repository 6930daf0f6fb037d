"""How fast a built dataset is loaded: images per second, next to other ways to read the images.

The corpus is the phantom's: 6,000 JPEG files of 600x450 pixels, of which an epoch reads the
training split, 80 %. Every contender reads the same images, shuffled, and delivers batches of 64,
resized to 224x224, with the numbers of the classes.

  ours               `mi.load`. JPEG is decoded at a reduced scale, not under the size wanted.
  ours_antialias     with `antialias=True`.
  ours_full          with `reduced=False`: the whole image is decoded.
  ours_encoder       with age, sex, site and note of each image encoded (`metadata=`).
  ours_files         from `mi.from_corpus`: the files of the corpus, no dataset is built. Images
                     are checked in the first epoch, which is not timed.
  ours_array_record  from a dataset in the ArrayRecord format.
  tfds_default       the same dataset by TFDS, `tf.image.resize`, `batch`, `prefetch`, as guides
                     have it; delivers float32.
  tfds_tuned         images are decoded and resized in one parallel call, shards read in turn,
                     order not kept, a pool of threads of its own.
  tfds_by_hand       tfds_tuned, with the reduced scale that fits these files written into it. What
                     is between it and ours is the price of what `mi.load` does beside decoding.
  directory          `keras.utils.image_dataset_from_directory`; delivers float32.
  files              `tf.data` on a list of paths, with a table that tells the class of a path.
  full_antialias     files, with `tf.image.resize(antialias=True)`.
  torch_draft        PyTorch's DataLoader on the files; Pillow decodes at a reduced scale.
  hf                 `datasets` from disk, with a transform that resizes, and DataLoader.
  webdataset         tar files, decoded by Pillow, and DataLoader.
  grain              TFDS's data source of the ArrayRecord files, and processes of grain. These are
                     started once, so it reads on over the end of an epoch, in whole batches.
  limit              a process for each core decodes files by simplejpeg, and does nothing else: no
                     resizing, no shuffling, nothing is delivered.
  limit_scaled       the same at the reduced scale.

Nobody keeps decoded images: an epoch decodes all of them, as training with random changes must
where memory is short.

How it is measured. In each round every contender runs once, in an order that turns by round, in a
new process; an epoch is read to its end before the timed one. In that first epoch the shapes, the
mean pixel and the classes are looked at: they must be those of the training split. Files are in the
page cache. Ratios are taken within each round; the tables give their median, and beside some what
they are to be at least. The iterators of `tf.data` of `tfds_default` and `directory` wait at the
end of an epoch for its autotuner, see load_contenders.py; the longer the epoch, the less it tells.
Beside the rate stand
the processor time of all processes of a contender; the seconds to the first batch of the first
epoch, and to open (imports, planning of a corpus); and the peak resident set, in which pages that
processes share are counted in each.

    python benchmarks/load.py
    python benchmarks/load.py --images 300 --rounds 1  # a quick try
    python benchmarks/load.py --large  # 300 files of 3000x2000 pixels
    python benchmarks/load.py --data corpus --work forms --contenders ours,tfds_tuned,limit_scaled

It needs the extra `bench`: pip install ".[bench]"
"""

from __future__ import annotations

import argparse
import sys

from load_contenders import CONTENDERS
from throughput import (
    Ratio,
    check_args,
    check_work,
    finish,
    main_table,
    parser_of,
    ratio_table,
    run_rounds,
    tell_machine,
    write_json,
)

LARGE = (
    "ours", "ours_antialias", "ours_full", "tfds_default", "tfds_tuned", "tfds_by_hand", "files",
    "full_antialias", "torch_draft", "limit", "limit_scaled",
)  # fmt: skip
RATIOS: dict[tuple[str, str], Ratio] = {
    ("ours", "tfds_default"): ("TFDS as guides have it", 1),
    ("ours", "tfds_tuned"): ("TFDS tuned", 1),
    ("ours", "directory"): ("Keras from folders", 1),
    ("ours", "files"): ("paths and a table", 1),
    ("ours_files", "files"): ("both without a dataset", 1),
    ("ours", "hf"): ("datasets", 1),
    ("ours", "webdataset"): ("webdataset", 1),
    ("ours", "grain"): ("grain", 1),
    ("ours", "torch_draft"): ("reduced scale by Pillow", None),
    ("ours", "limit"): ("share of the limit", 0.85),
    ("ours", "limit_scaled"): ("both at the reduced scale", 0.85),
    ("ours_full", "limit"): ("both decode all", 0.85),
    ("ours_full", "tfds_tuned"): ("both decode all", None),
    ("ours_antialias", "full_antialias"): ("both antialiased", 2),
    ("ours_antialias", "ours"): ("price of antialiasing", None),
    ("ours_encoder", "ours"): ("price of metadata", 0.95),
    ("ours_files", "ours"): ("price of no dataset", None),
    ("ours", "tfds_by_hand"): ("price of the machinery", None),
    ("ours", "ours_full"): ("what the reduced scale gains", None),
}
LARGE_ASKED = {("ours", "files"): 3.0}


def parse_args() -> argparse.Namespace:
    parser = parser_of(__doc__ or "", CONTENDERS)
    parser.add_argument(
        "--large", action="store_true", help="300 files of 3000x2000, and fewer contenders"
    )
    args = parser.parse_args()
    args.size = args.size or ((3000, 2000) if args.large else (600, 450))
    args.images = args.images or (300 if args.large else 6000)
    args.contenders = args.contenders or list(LARGE if args.large else CONTENDERS)
    return check_args(parser, args, CONTENDERS)


def main() -> None:
    args = parse_args()
    if args.job:
        finish(args.job, CONTENDERS)
        return
    about = tell_machine()
    rounds, counts = run_rounds(__file__, args, CONTENDERS)
    print(f"\n{main_table(args.contenders, rounds)}\n")
    ratios = RATIOS
    if args.large:
        ratios = {pair: (what, LARGE_ASKED.get(pair)) for pair, (what, _) in RATIOS.items()}
    print(ratio_table(ratios, rounds, "images/s of one / of the other"))
    write_json(args, about, rounds, counts)
    problems = check_work(rounds, counts, CONTENDERS)
    if problems:
        sys.exit("not the same work:\n" + "\n".join(problems))


if __name__ == "__main__":
    main()
