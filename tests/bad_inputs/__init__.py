"""Inputs that are bad in one way each, and what a real build makes of them.

Each case has its number, the input in words, what is expected of it, and a test that makes such a
corpus, builds it and looks at what came out. Where the environment variable
`MEDICAL_IMAGES_CASE_REPORT` names a file, a table of what was seen is written to it.
"""
