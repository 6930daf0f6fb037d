"""DICOM files: their headers, and what their pixels become.

pydicom does the reading; it is imported only when a DICOM file is read.
"""
