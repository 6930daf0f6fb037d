"""Files that hold many images and stand as folders: zip, HDF5, NIfTI and frames of DICOM files."""
