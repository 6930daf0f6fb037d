"""How a spec is drafted from what lies in a folder: one step a module, brought together by `infer`.

`survey` lists the folder, `dialects` and `tables_found` read its tables, `column_types` tells what
columns hold, `naming` which images rows name, `joining` how tables belong together, `path_columns`
what paths alone tell, `groups` and `official_splits` what must stay in one split and which splits
there are, `pixels_seen` what a few images are like, `compose` makes a spec of it all, and
`document` writes it with its reasons.
"""
