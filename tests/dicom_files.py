"""Small DICOM files of pixels that a test chooses."""

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

ULTRASOUND = "1.2.840.10008.5.1.4.1.1.6.1"


def picture(rows=48, columns=64, frames=0, seed=0):
    """Speckle on black, brighter than what is taken for a dark margin."""
    shape = (frames, rows, columns) if frames else (rows, columns)
    return np.random.default_rng(seed).integers(30, 256, shape, dtype=np.uint8)


def dataset_of(pixels, syntax=ExplicitVRLittleEndian, **values):
    """A file of an ultrasound machine, uint8 grey `(rows, columns)` by default."""
    dataset = FileDataset("", {}, preamble=b"\0" * 128)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID = ULTRASOUND
    dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.SOPClassUID = ULTRASOUND
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID
    defaults = {
        "Modality": "US",
        "PatientID": "4711",
        "PatientName": "Muster^Anna",
        "StudyInstanceUID": "1.2.3.4.5",
        "StudyDate": "20200302",
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 8 * pixels.dtype.itemsize,
        "BitsStored": 8 * pixels.dtype.itemsize,
        "HighBit": 8 * pixels.dtype.itemsize - 1,
        "PixelRepresentation": 0,
    }
    grey = values.get("SamplesPerPixel", 1) == 1
    defaults["Rows"], defaults["Columns"] = pixels.shape[-2:]
    if not grey:
        defaults["Rows"], defaults["Columns"] = pixels.shape[-3:-1]
        defaults["PlanarConfiguration"] = 0
    if pixels.ndim == (3 if grey else 4):
        defaults["NumberOfFrames"] = len(pixels)
    for name, value in {**defaults, **values}.items():
        setattr(dataset, name, value)
    data = pixels.tobytes()
    dataset.PixelData = data + b"\0" * (len(data) % 2)
    return dataset


def region(x0, y0, x1, y1, space=1, kind=1, **values):
    """An item of SequenceOfUltrasoundRegions; `x1` and `y1` are within it."""
    item = Dataset()
    item.RegionSpatialFormat, item.RegionDataType = space, kind
    item.RegionLocationMinX0, item.RegionLocationMinY0 = x0, y0
    item.RegionLocationMaxX1, item.RegionLocationMaxY1 = x1, y1
    item.PhysicalUnitsXDirection = item.PhysicalUnitsYDirection = 3
    item.PhysicalDeltaX, item.PhysicalDeltaY = 0.01, 0.02
    for name, value in values.items():
        setattr(item, name, value)
    return item


def write_dicom(path, pixels=None, **values):
    """Writes a file of pixels, by default of speckle; gives its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset = dataset_of(picture() if pixels is None else pixels, **values)
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    return path
