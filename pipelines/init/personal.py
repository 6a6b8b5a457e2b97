"""Personal data, found by what cells hold first, and by what a header says second."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import ip_address

from pipelines.init.words import says

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[A-Za-z]{2,}")
_IBAN = re.compile(r"[A-Z]{2}\d{2}[A-Z0-9]{11,30}")
_CURP = re.compile(r"[A-Z]{4}\d{6}[HMX][A-Z]{5}[A-Z0-9]\d")
_SSN = re.compile(r"(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}")
_DNI = re.compile(r"\d{8}[A-Z]|[XYZ]\d{7}[A-Z]")
_CPF = re.compile(r"\d{3}\.?\d{3}\.?\d{3}-?\d{2}")
_DIALLED = re.compile(r"\+?[\d ().\-/]{7,20}")
_MOST = 0.8
"""Share of the cells that have to look alike."""


@dataclass(frozen=True)
class Personal:
    """What personal data a column holds.

    Attributes:
        what: for people, such as "phone numbers".
        why: what the guess rests on.
        sure: in per cent.
        phone: every number has its country code, so that the column can be marked `phone`.
    """

    what: str
    why: str
    sure: int
    phone: bool = False


def judge(name: str, cells: Collection[str], is_text: bool) -> Personal | None:
    """Look for personal data in a column.

    Args:
        name: of the column.
        cells: distinct texts of a sample, none empty.
        is_text: whether the column stays text, as opposed to numbers, times and yes or no.
    """
    found = _by_content(name, cells)
    if found is not None:
        return found
    return _by_header(name, is_text)


def _by_content(name: str, cells: Collection[str]) -> Personal | None:
    if not cells:
        return None
    if _share(cells, _EMAIL.fullmatch) >= _MOST:
        return Personal("e-mail addresses", "its cells are", 99)
    dialled = _share(cells, _phone)
    if dialled >= _MOST:
        return Personal("phone numbers", f"{dialled:.0%} of its cells are valid ones", 99, phone=True)
    for what, test in _NUMBERS:
        if _share(cells, test) >= _MOST:
            return Personal(what, "its cells have the form and the check digits", 95)
    if _share(cells, _written_as_phone) >= _MOST:
        return Personal("phone numbers without country code", "its cells are written like them", 70)
    return None


def _by_header(name: str, is_text: bool) -> Personal | None:
    kinds = (("phone", "phone numbers without country code", 90), ("national_id", "national ids", 85))
    for kind, what, sure in (*kinds, ("secret", "secrets", 85)):
        if says(name, kind):
            return Personal(what, "its header says so", sure)
    if says(name, "birth"):
        return Personal("dates of birth", "its header says so", 90)
    if is_text and says(name, "address"):
        return Personal("addresses", "its header says so", 80)
    if is_text and says(name, "name") and not says(name, "not_name"):
        return Personal("names of people", "its header says so", 75)
    return None


def _share(cells: Collection[str], test: object) -> float:
    assert callable(test)
    return sum(bool(test(cell.strip())) for cell in cells) / len(cells)


def _phone(cell: str) -> bool:
    from expectations.phones import normalise_one

    return bool(_DIALLED.fullmatch(cell)) and normalise_one(cell) is not None


def _written_as_phone(cell: str) -> bool:
    """Ten digits or so, in groups: not a day, not a plain number."""
    digits = re.sub(r"\D", "", cell)
    grouped = re.fullmatch(r"\(?\d{2,4}\)?[ .\-/]\d{2,4}[ .\-/]?\d{2,5}([ .\-/]?\d{2,4})?", cell)
    return 9 <= len(digits) <= 13 and bool(grouped)


def _card(cell: str) -> bool:
    """Luhn's check over 13 to 19 digits that begin like a card's."""
    digits = re.sub(r"[ -]", "", cell)
    if not re.fullmatch(r"[3-6]\d{12,18}", digits):
        return False
    total = 0
    for place, digit in enumerate(reversed(digits)):
        doubled = int(digit) * (1 + place % 2)
        total += doubled - 9 * (doubled > 9)
    return total % 10 == 0


def _iban(cell: str) -> bool:
    text = cell.replace(" ", "").upper()
    if not _IBAN.fullmatch(text):
        return False
    return int("".join(str(int(letter, 36)) for letter in text[4:] + text[:4])) % 97 == 1


def _cpf(cell: str) -> bool:
    if not _CPF.fullmatch(cell):
        return False
    digits = [int(one) for one in cell if one.isdigit()]
    if len(set(digits)) == 1:
        return False
    for size in (9, 10):
        total = sum(digit * (size + 1 - place) for place, digit in enumerate(digits[:size]))
        if total * 10 % 11 % 10 != digits[size]:
            return False
    return True


def _dni(cell: str) -> bool:
    text = cell.upper()
    if not _DNI.fullmatch(text):
        return False
    return text[-1] == "TRWAGMYFPDXBNJZSQVHLCKE"[int(text[:-1].translate(str.maketrans("XYZ", "012"))) % 23]


def _address_of_machine(cell: str) -> bool:
    if not re.fullmatch(r"[0-9a-fA-F:.]{3,45}", cell) or ("." not in cell and ":" not in cell):
        return False
    try:
        ip_address(cell)
    except ValueError:
        return False
    return True


_NUMBERS = (
    ("bank accounts (IBAN)", _iban),
    ("card numbers", _card),
    ("national ids (CURP)", lambda cell: _CURP.fullmatch(cell.upper())),
    ("national ids (SSN)", _SSN.fullmatch),
    ("national ids (DNI)", _dni),
    ("national ids (CPF)", _cpf),
    ("addresses of machines (IP)", _address_of_machine),
)
