"""What the transforms tell each other beside the features of an element."""

COPY = "_copy"  # int64 scalar: 0 for the first occurrence of a record in an epoch, then 1, 2, ...
COPIES = "_copies"  # int64 scalar: how often a record is to occur in an epoch
