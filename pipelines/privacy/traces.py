"""A phone number wherever it stands and however it is written."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import pyarrow as pa
import pyarrow.compute as pc

from expectations.phones import as_texts, parts

_BETWEEN = r"[\s\x{00A0}().\-/_+]{0,3}"


class Traces:
    """Finds numbers in texts and rows: in E.164, in national form, spaced or punctuated, as a number, and in base64."""

    def __init__(self, phones: Iterable[str]) -> None:
        """Look for `phones`, in E.164."""
        forms = [form for phone in phones for form in _forms(phone)]
        self._pattern = "|".join(forms) or r"[^\s\S]"
        self._compiled = re.compile(self._pattern.replace(r"\x{00A0}", "\u00a0"))

    def text(self, text: str) -> bool:
        """Whether a number stands in `text`."""
        return self._compiled.search(text) is not None

    def rows(self, table: pa.Table) -> pa.Array:
        """Which rows hold a number in any cell."""
        found = pa.repeat(False, table.num_rows)
        for column in table.columns:
            texts = as_texts(column)
            if texts is not None:
                found = pc.or_(found, pc.fill_null(pc.match_substring_regex(texts, self._pattern), False))
        return found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found


def _forms(phone: str) -> Iterator[str]:
    code, national = parts(phone)
    yield _BETWEEN.join(national if len(national) >= len("12345678") else code + national)
    for text in (phone, code + national, national):
        yield from (_coded(text.encode(), ahead) for ahead in range(3))


def _coded(text: bytes, ahead: int) -> str:
    """A pattern of `text` in base64 behind `ahead` bytes, modulo three.

    A letter stands for six bits; where other text takes part in one, any letter that fits the known bits is right.
    """
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    bits = "?" * 8 * ahead + "".join(f"{byte:08b}" for byte in text)
    bits += "?" * (-len(bits) % 6)
    letters = []
    for start in range(8 * ahead // 6 * 6, len(bits), 6):
        group = re.compile(bits[start : start + 6].replace("?", "[01]"))
        fitting = "".join(letter for number, letter in enumerate(alphabet) if group.fullmatch(f"{number:06b}"))
        letters.append(f"[{fitting.replace('+', '+-').replace('-', chr(92) + '-').replace('/', '/_')}]")
    return "".join(letters)
