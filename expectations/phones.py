"""Phone numbers as E.164, judged by Google's libphonenumber metadata, fast enough for millions.

A number already in E.164 is judged by the same patterns libphonenumber uses, over whole columns at once; whatever is
written another way goes through the library, each distinct text once.
"""

import re
from functools import cache, lru_cache
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

_E164 = r"^\+[1-9][0-9]{6,14}$"
_Shape = tuple[str, tuple[int, ...]]
"""Pattern of national numbers, and the lengths they may have."""

_KINDS = (
    "fixed_line",
    "mobile",
    "toll_free",
    "premium_rate",
    "shared_cost",
    "personal_number",
    "voip",
    "pager",
    "uan",
    "voicemail",
)


def normalise(phones: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Write phone numbers as E.164.

    Args:
        phones: texts with country code: `+52 55 1234 5678`, `+525512345678`. No region is assumed.

    Returns:
        An array of the same length; null where there is no valid number.
    """
    flat = phones.combine_chunks() if isinstance(phones, pa.ChunkedArray) else phones
    encoded = flat.cast(pa.string()).dictionary_encode()
    distinct = encoded.dictionary
    if not len(distinct):
        return pa.nulls(len(flat), pa.string())
    return _normalise_distinct(distinct).take(encoded.indices)


def _normalise_distinct(texts: pa.Array) -> pa.Array:
    sure = _surely_valid(texts)
    rest = [normalise_one(text) for text in texts.filter(pc.invert(sure)).to_pylist()]
    empty = pa.nulls(len(texts), pa.string())
    known = pc.if_else(sure, texts, empty)
    return pc.replace_with_mask(known, pc.invert(sure), pa.array(rest, pa.string()))


@lru_cache(maxsize=100_000)
def normalise_one(text: str) -> str | None:
    """One number as E.164, None when it is not a valid one; the library's own verdict."""
    import phonenumbers

    try:
        number = phonenumbers.parse(text)
    except phonenumbers.NumberParseException:
        return None
    if number.extension or not phonenumbers.is_valid_number(number):
        return None
    return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))


def _surely_valid(texts: pa.Array) -> pa.Array:
    """Which texts are valid E.164 as they stand; the others still may be valid once parsed."""
    shaped = pc.match_substring_regex(texts, _E164)
    heads = pc.utf8_slice_codeunits(texts, 1, 4)
    sure = pa.repeat(False, len(texts))
    codes: dict[int, list[str]] = {}
    for head in pc.unique(heads.filter(shaped)).to_pylist():
        code = _country_code(head)
        if code is not None:
            codes.setdefault(code, []).append(head)
    for code, starts in codes.items():
        mine = pc.and_(shaped, pc.is_in(heads, value_set=pa.array(starts)))
        national = pc.utf8_slice_codeunits(texts.filter(mine), 1 + len(str(code)))
        sure = pc.replace_with_mask(sure, mine, _valid_nationals(code, national))
    return sure


@cache
def _country_code(head: str) -> int | None:
    """The country code three digits begin with; codes are prefixes of no other."""
    import phonenumbers

    for size in (1, 2, 3):
        if int(head[:size]) in phonenumbers.COUNTRY_CODE_TO_REGION_CODE:
            return int(head[:size])
    return None


def _valid_nationals(code: int, numbers: pa.Array) -> pa.Array:
    """Which national numbers of a country code are valid and mean themselves (nothing would be stripped off)."""
    valid = claimed = pa.repeat(False, len(numbers))
    sizes = pc.utf8_length(numbers)
    for leading, (general, shapes), stripped in _regions(code):
        right = pa.repeat(False, len(numbers))
        for pattern, lengths in shapes:
            fits = pc.is_in(sizes, value_set=pa.array(lengths, sizes.type))
            right = pc.or_(right, pc.and_(fits, pc.match_substring_regex(numbers, pattern)))
        right = pc.and_(right, pc.match_substring_regex(numbers, general))
        claims = pc.match_substring_regex(numbers, leading) if leading else right
        mine = pc.and_not(claims, claimed)
        plain = pc.invert(pc.match_substring_regex(numbers, stripped)) if stripped else pa.repeat(True, len(numbers))
        valid = pc.or_(valid, pc.and_(mine, pc.and_(right, plain)))
        claimed = pc.or_(claimed, claims)
    return valid


@cache
def _regions(code: int) -> tuple[tuple[str | None, tuple[str, tuple[_Shape, ...]], str | None], ...]:
    """Per region of a country code: patterns of its leading digits, its numbers by kind, and the prefixes it strips."""
    import phonenumbers
    from phonenumbers.phonemetadata import PhoneMetadata

    found: list[tuple[str | None, tuple[str, tuple[_Shape, ...]], str | None]] = []
    strip = None
    for region in phonenumbers.COUNTRY_CODE_TO_REGION_CODE[code]:
        metadata: Any = PhoneMetadata.metadata_for_region_or_calling_code(code, region)
        if metadata is None:
            continue
        shapes = _shapes([getattr(metadata, kind) for kind in _KINDS], tuple(metadata.general_desc.possible_length))
        if not found and metadata.national_prefix_for_parsing:
            strip = f"^(?:{metadata.national_prefix_for_parsing})"  # the parser knows the main region only
        leading = f"^(?:{metadata.leading_digits})" if metadata.leading_digits else None
        if shapes:
            found.append((leading, (f"^{_desc_pattern(metadata.general_desc) or '.*'}$", shapes), strip))
    return tuple(found)


def _shapes(descriptions: list[Any], general: tuple[int, ...]) -> tuple[_Shape, ...]:
    """Patterns of the kinds of number, those of equal lengths in one; a kind without lengths has the general ones."""
    by_lengths: dict[tuple[int, ...], list[str]] = {}
    for description in descriptions:
        if (pattern := _desc_pattern(description)) is not None:
            lengths = tuple(description.possible_length) or general
            by_lengths.setdefault(tuple(n for n in lengths if n in general), []).append(pattern)
    return tuple((f"^(?:{'|'.join(patterns)})$", lengths) for lengths, patterns in by_lengths.items() if lengths)


def _desc_pattern(desc: Any) -> str | None:
    pattern = desc.national_number_pattern if desc is not None else None
    return "(?:" + re.sub(r"\s", "", pattern) + ")" if pattern and pattern != "NA" else None
