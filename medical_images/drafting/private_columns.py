"""Columns that may tell who somebody is: by their names in several languages, or by their cells."""

from __future__ import annotations

import re
import unicodedata

import pandas as pd

from medical_images.audit.record_numbers import identifying_columns

_WORDS = re.compile(
    r"(?:^|_)(?:(?:first|last|sur|full|fore|given|patient|vor|nach|familien)_?name|n[ao]me?|nom|nombre|prenom|"
    r"apellidos?|birth\w*|dob|geb|gebdat\w*|geburts\w*|naissance|nacimiento|nascita|address|adresse|strasse|street|"
    r"zip|zip_?code|post_?code|plz|postleitzahl|wohnort|city|phone|telephone|tel|telefon|handy|mobile|e_?mail|mrn|ssn|"
    r"insurance|versicherung\w*|physician|doctor|surgeon|radiologist|pathologist|operator|annotator|reader_?name|"
    r"arzt|aerztin|befunder|untersucher|medecin|medico|referring\w*|institution|clinical_notes?|notes?|"
    r"report|comments?|remarks?|bemerkung(?:en)?|kommentar|anamnese)(?:_|$)"
)
_TITLES = r"(?:dr|prof|mr|mrs|ms|herr|frau)\.? .*"
_IS_LABEL = "finding|diagnos|label|class|target"  # lists of classes look like names


def folded(name: str) -> str:
    """Returns a column's name in lower ASCII letters, digits and `_`.

    Example:
      >>> folded('Größe (cm)'), folded('PatientName'), folded('Diagnóstico')
      ('groesse_cm', 'patient_name', 'diagnostico')
    """
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z][a-z])", "_", name)
    for umlaut, text in zip("äöüß", ("ae", "oe", "ue", "ss"), strict=True):
        words = words.lower().replace(umlaut, text)
    plain = unicodedata.normalize("NFKD", words).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "_", plain).strip("_")


def may_identify(cells: pd.Series[str]) -> bool:
    """Whether a column may tell who somebody is.

    Example:
      >>> may_identify(pd.Series(['02.05.1950'], name='Geburtsdatum'))
      True
      >>> may_identify(pd.Series(['Dr. Frank', 'Dr. Stein'] * 9, name='read_by'))
      True
      >>> may_identify(pd.Series(['left', 'right'] * 9, name='side'))
      False
    """
    name = folded(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", str(cells.name)))  # also `PatientDOB`
    if _WORDS.search(name):
        return True
    known = cells[cells != ""].drop_duplicates()
    if len(known) and known.str.lower().str.fullmatch(_TITLES).mean() > 0.5:
        return True
    found = next(identifying_columns(known.to_frame(name)), None)
    return found is not None and found.is_sure and not re.search(_IS_LABEL, name)
