"""The words of the page, in each language; numbers and what contracts say are put in between."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

Language = Literal["en", "es"]
LANGUAGES: tuple[Language, ...] = get_args(Language)

_EN = {
    "title": "Audience of {date}",
    "kind": "Audience",
    "lead": "{audience} of {scored} scored leads may be written to on {sending} (UTC), best first.",
    "lead_nobody": "None of {scored} scored leads may be written to.",
    "version": "model version",
    "as_of": "known up to",
    "contract": "version of the files",
    "audience": "may be written to",
    "suppressed": "left out",
    "conversions": "conversions if all are written to",
    "range": "{low} to {high}, nine days in ten",
    "tier_a": "in tier A",
    "tiers": "By tier",
    "tier": "tier",
    "leads": "leads",
    "share": "share",
    "mean": "mean probability",
    "expected": "expected conversions",
    "gain": "Whom to write to first",
    "gain_caption": "The best {ten} of the leads hold {reach} of the conversions that are expected",
    "gain_axis": "share of expected conversions",
    "gain_dot": "the best {taken} hold {reached}",
    "contacted": "share written to, best first",
    "calculator": "What a budget buys",
    "budget": "Budget",
    "cost": "Cost of a message",
    "contact": "leads to write to",
    "each": "cost of a conversion",
    "whole": "The budget is enough for all of them.",
    "segments": "By {name}",
    "reasons": "What moves the scores most",
    "reason": "reason",
    "raises": "raises",
    "lowers": "lowers",
    "left_out": "Who is left out, and why",
    "rule": "reason",
    "changed": "What changed since {date}",
    "came": "new",
    "left": "gone",
    "up": "in a better tier",
    "down": "in a worse tier",
    "before": "audience then",
    "kept": "How promises turned out",
    "said": "was said",
    "observed": "came",
    "outcomes": "outcomes",
    "every": "all",
    "corrected": "Expected conversions are corrected by what came of {rows} settled outcomes: {ratio} for each one that"
    " had been said.",
    "uncorrected": "No outcome of a score is settled yet: expected conversions are the model's word alone.",
    "opted_out": "want no more messages",
    "no_consent": "never agreed to be contacted",
    "do_not_contact": "stand on a list of people who are never written to",
    "unreachable": "can receive no message",
    "invalid": "have no valid phone",
    "too_many_messages": "got enough messages this week",
    "quiet_hours": "would get it in their quiet hours",
}
_ES = {
    "title": "Audiencia del {date}",
    "kind": "Audiencia",
    "lead": "Se puede escribir a {audience} de {scored} contactos evaluados el {sending} (UTC), los mejores primero.",
    "lead_nobody": "No se puede escribir a ninguno de {scored} contactos evaluados.",
    "version": "versión del modelo",
    "as_of": "datos conocidos hasta",
    "contract": "versión de los archivos",
    "audience": "se les puede escribir",
    "suppressed": "excluidos",
    "conversions": "conversiones si se escribe a todos",
    "range": "de {low} a {high}, nueve de cada diez días",
    "tier_a": "en el nivel A",
    "tiers": "Por nivel",
    "tier": "nivel",
    "leads": "contactos",
    "share": "porcentaje",
    "mean": "probabilidad media",
    "expected": "conversiones esperadas",
    "gain": "A quién escribir primero",
    "gain_caption": "El mejor {ten} de los contactos reúne el {reach} de las conversiones esperadas",
    "gain_axis": "porcentaje de las conversiones esperadas",
    "gain_dot": "el mejor {taken} reúne el {reached}",
    "contacted": "porcentaje al que se escribe, los mejores primero",
    "calculator": "Qué se logra con un presupuesto",
    "budget": "Presupuesto",
    "cost": "Costo de un mensaje",
    "contact": "contactos a los que escribir",
    "each": "costo de una conversión",
    "whole": "El presupuesto alcanza para todos.",
    "segments": "Por {name}",
    "reasons": "Qué mueve más las puntuaciones",
    "reason": "razón",
    "raises": "sube",
    "lowers": "baja",
    "left_out": "Quién queda excluido y por qué",
    "rule": "razón",
    "changed": "Qué cambió desde el {date}",
    "came": "nuevos",
    "left": "ya no están",
    "up": "en un nivel mejor",
    "down": "en un nivel peor",
    "before": "audiencia de entonces",
    "kept": "Cómo resultaron las promesas",
    "said": "se dijo",
    "observed": "ocurrió",
    "outcomes": "resultados",
    "every": "todos",
    "corrected": "Las conversiones esperadas se corrigen con {rows} resultados ya conocidos: {ratio} por cada una que"
    " se había dicho.",
    "uncorrected": "Todavía no se conoce ningún resultado: las conversiones esperadas son solo lo que dice el modelo.",
    "opted_out": "no quieren más mensajes",
    "no_consent": "nunca dieron su consentimiento",
    "do_not_contact": "están en una lista de personas a las que no se escribe",
    "unreachable": "no pueden recibir mensajes",
    "invalid": "no tienen un teléfono válido",
    "too_many_messages": "ya recibieron suficientes mensajes esta semana",
    "quiet_hours": "lo recibirían en sus horas de descanso",
}
WORDS: Mapping[Language, Mapping[str, str]] = {"en": _EN, "es": _ES}


def number(value: float, language: Language, digits: int = 0) -> str:
    """A number as people of a language write it."""
    text = f"{value:,.{digits}f}"
    return text if language == "en" else text.replace(",", " ").replace(".", ",").replace(" ", ".")


def percent(value: float, language: Language, digits: int = 1) -> str:
    """A share in per cent."""
    return number(100 * value, language, digits) + (" %" if language == "es" else "%")
