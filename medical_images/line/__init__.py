"""The line: splits, and an order of groups in which every slice holds its share of every label.

A *group* is a set of images that must stay together, such as all images of a patient. It has a
size (its number of images) and, for each label, the number of its images that carry the label.
`plan_splits` gives every group to one split; `plan_positions` puts the groups of one split on a
line, so that every contiguous slice of the line is close to its share of every label and of images.

Both start from systematic sampling (Madow and Madow, 1944): groups are sorted by rarest label,
counts and size, and dealt out by an even rhythm, so that similar groups are spread evenly. Then
groups are exchanged over each cut while that lowers the squared error. To begin with the rarest
label is the idea of iterative stratification (Sechidis, Tsoumakas and Vlahavas, 2011, "On the
stratification of multi-label data"); scikit-learn's `StratifiedGroupKFold` deals whole groups
greedily by a like error. An order whose every prefix holds its share is just-in-time sequencing
(Steiner and Yeomans, 1993), a case of discrepancy theory: all prefix errors are kept small at once.

Guarantees:
    - Every group is in exactly one split, and stands exactly once in the order of its split.
    - The plan depends only on the set of (hash, size, counts). The order of the rows and of the
      labels does not matter. Groups with the same hash and the same counts are interchangeable.
    - All that is compared are integers, or floats that hold multiples of 1/4096. Below 2**53 of
      these units their sums are exact, so no order of summation and no linear algebra library can
      change a plan. Weights are at most 1024, and up to about a million images a group is safe.
    - Known groups stay: their splits and positions come back as they were given.
    - Without labels and known groups, the images of a split are within the largest group of its
      share.
    How close labels come to their shares is measured by the tests, not proved: the problem is
    NP-hard, and a slice cannot be nearer than about half of the largest group that it may cut.

Many groups are planned in chunks of 64,000 or more, chosen by the hash. Each chunk is planned
alone, so that any number of workers may share them; the last one then takes up the summed error of
all. `SplitStep` and `OrderStep` are what is done to one chunk.
"""

from medical_images.line.groups import (
    Groups,
    Totals,
    hash_groups,
    num_chunks_of,
)
from medical_images.line.order import OrderStep, hash_positions, plan_positions
from medical_images.line.splits import (
    SplitStep,
    has_rare_label,
    hash_splits,
    place_rare,
    plan_splits,
)

__all__ = [
    "Groups",
    "OrderStep",
    "SplitStep",
    "Totals",
    "has_rare_label",
    "hash_groups",
    "hash_positions",
    "hash_splits",
    "num_chunks_of",
    "place_rare",
    "plan_positions",
    "plan_splits",
]
