"""Phone numbers as E.164, judged by Google's libphonenumber metadata, fast enough for millions.

A number already in E.164 is judged by the same patterns libphonenumber uses, over whole columns at once; whatever is
written another way goes through the library, each distinct text once.
"""

import base64
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, lru_cache
from itertools import chain
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


def parts(phone: str) -> tuple[str, str]:
    """Country code and national digits of a number in E.164."""
    digits = phone.removeprefix("+")
    code = _country_code(digits[:3].ljust(3, "0"))
    size = 0 if code is None else len(str(code))
    return digits[:size], digits[size:]


_WHOLE = float(10**15)  # larger floats are no whole numbers any more
_BETWEEN = r"[\s().\-/_]"
_RUN = rf"\+?\d(?:{_BETWEEN}{{0,3}}\d){{7,}}"
_CODED = r"(?:Kz[AEIMQUYcgk][w-z0-5])?(?:[MNO][DTjz][AEIMQUYcgk][w-z0-5]){3,}(?:[MNO][A-Za-z0-9+/]{0,2})?"
"""Base64 of digits, with or without a plus before them: each three of them give such four letters."""

LIKE_A_PHONE = re.compile(rf"{_RUN}|{_CODED}")
"""A run of eight digits or more, spaced or punctuated, or one in base64."""

_NO_DIGIT = re.compile(r"\D")

Known = Callable[[], pa.Array]
_known: ContextVar[Known | None] = ContextVar("known", default=None)


@contextmanager
def known_phones(phones: Known) -> Iterator[None]:
    """Within the block `hold_phones` knows these numbers, in E.164; asked for once, where a cell may be one."""
    token = _known.set(cache(lambda: _digits(phones())))
    try:
        yield
    finally:
        _known.reset(token)


def hold_phones(values: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Which cells hold a phone: one that is known, however it is written, or any valid one with a plus before it.

    Ids are long numbers too: without a plus, digits are a phone only if they are one that is known.

    Args:
        values: texts or numbers; other kinds hold none.
    """
    suspect = may_hold_phones(values)
    if not pc.any(suspect).as_py():
        return suspect
    coded = _flat_texts(values.filter(suspect)).dictionary_encode()
    return pc.replace_with_mask(suspect, suspect, _hold(coded.dictionary).take(coded.indices))


def may_hold_phones(values: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Which cells are worth the look that `hold_phones` takes: it finds no phone in any other."""
    if as_texts(values.slice(0, 0)) is None:
        return pa.repeat(False, len(values))
    flat = _flat_texts(values)
    likely = pc.fill_null(pc.match_substring_regex(flat, f"{_RUN}|{_CODED}"), False)
    if not pc.any(likely).as_py():
        return likely
    return pc.replace_with_mask(likely, likely, pc.or_(*_glance(flat.filter(likely))))


def _flat_texts(values: pa.Array | pa.ChunkedArray) -> pa.Array:
    texts = as_texts(values)
    return texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts


def _numbers() -> pa.Array:
    """Digits of the known phones."""
    asked = _known.get()
    return asked() if asked else pa.array([], pa.string())


def _glance(texts: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Texts that look like phones: whose first run of digits is known, and which need more than that run looked at."""
    first = pc.struct_field(pc.extract_regex(texts, f"(?P<run>{_RUN})"), "run")
    known = pc.fill_null(pc.is_in(_plain(first), value_set=_numbers()), False)
    return known, pc.match_substring_regex(texts, rf"\+|{_CODED}|{_RUN}[^0-9].*{_RUN}")


def _hold(texts: pa.Array) -> pa.Array:
    """The same for distinct texts that look like phones: those with one run of digits at once, others one by one."""
    found, several = _glance(texts)
    numbers, rest = _numbers(), pc.and_not(several, found)
    runs = [list(_runs(text)) for text in texts.filter(rest).to_pylist()]
    known = set(
        numbers.filter(
            pc.is_in(numbers, value_set=_plain(pa.array(chain.from_iterable(runs), pa.string())))
        ).to_pylist()
    )
    slow = [
        any(_bare(run) in known or (run[0] == "+" and normalise_one(run) is not None) for run in some) for some in runs
    ]
    return pc.replace_with_mask(found, rest, pa.array(slow, pa.bool_()))


def _plain(runs: pa.Array) -> pa.Array:
    """Digits alone."""
    return pc.utf8_ltrim(pc.replace_substring_regex(runs, r"\D", ""), "0")


def _bare(run: str) -> str:
    return _NO_DIGIT.sub("", run).lstrip("0")


def _runs(text: str) -> Iterator[str]:
    """Parts of a text that look like phones; those in base64 in plain."""
    for match in LIKE_A_PHONE.finditer(text):
        run = match[0]
        if run[0] in "KMNO":
            run = run[: len(run) - (len(run) % 4 == 1)]  # a single letter at the end is half a byte
            run = base64.b64decode(run + "=" * (-len(run) % 4)).decode("latin-1")
        yield run


def _digits(phones: pa.Array) -> pa.Array:
    """Digits of numbers, with and without their country codes; what is not in E.164 is left out."""
    whole = pc.utf8_slice_codeunits(phones.filter(pc.match_substring_regex(phones, _E164)), 1)
    heads = pc.utf8_slice_codeunits(whole, 0, 3)
    found = [whole]
    for head in pc.unique(heads).to_pylist():
        code = _country_code(head.ljust(3, "0")) if head else None
        if code is not None:
            found.append(pc.utf8_slice_codeunits(whole.filter(pc.equal(heads, head)), len(str(code))))
    return pa.concat_arrays(found)


def as_texts(values: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray | None:
    """Cells as text, whole numbers by their digits; None for kinds that can hold no phone, such as times."""
    kind = values.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return values
    if pa.types.is_integer(kind) or pa.types.is_decimal(kind):
        return values.cast(pa.string())
    if pa.types.is_floating(kind):
        whole = pc.and_(pc.less(pc.abs(values), _WHOLE), pc.equal(pc.floor(values), values))
        return pc.if_else(whole, values, None).cast(pa.int64(), safe=False).cast(pa.string())
    if pa.types.is_temporal(kind) or pa.types.is_boolean(kind) or pa.types.is_null(kind):
        return None
    return pa.array([str(cell) for cell in values.to_pylist()], pa.string())
