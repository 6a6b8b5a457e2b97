"""Writes trials.csv and visits.csv of a made-up gym: nobody in them exists. Run it again and the files are the same.

python docs/examples/gym/generate.py
"""

import csv
import random
from datetime import datetime, timedelta
from pathlib import Path

HERE = Path(__file__).parent
FIRST = datetime(2026, 1, 5)
DAYS, PEOPLE = 120, 2400
CLUBS = ("Centre", "Harbour", "North")
CAMPAIGNS = ("friend", "poster", "search", "walk-in")
PLANS = ("Basic", "Family", "Plus")
CLASSES = ("boxing", "none", "spinning", "yoga")


def people(draw: random.Random) -> list[dict[str, object]]:
    """One row per person on trial, in order of the day the offer was made."""
    rows: list[dict[str, object]] = []
    for number in range(1, PEOPLE + 1):
        offered = FIRST + timedelta(days=DAYS * number / (PEOPLE + 1))
        keen = draw.gauss(0, 1)
        rows.append(
            {
                "trial_no": f"T{number:05d}",
                "e_mail": f"person{number}@example.org",
                "offered_on": offered.date().isoformat(),
                "club": draw.choices(CLUBS, (5, 3, 2))[0],
                "age": min(79, max(16, round(draw.gauss(36, 12)))),
                "heard_from": draw.choices(CAMPAIGNS, (3, 2, 4, 1))[0],
                "plan": draw.choices(PLANS, (5, 2, 3))[0],
                "keen": keen,
            }
        )
    return rows


def visits(draw: random.Random, person: dict[str, object]) -> list[dict[str, object]]:
    """Visits in the three weeks before the offer and the week after."""
    offered = datetime.fromisoformat(str(person["offered_on"]))
    rate = 2.2 * 2 ** float(str(person["keen"]))
    found = []
    for _ in range(min(14, int(rate + draw.random()))):
        entered = offered + timedelta(days=draw.uniform(-21, 7), hours=draw.uniform(0, 3))
        found.append(
            {
                "trial_no": person["trial_no"],
                "entered_at": entered.strftime("%Y-%m-%d %H:%M:00"),
                "class": draw.choices(CLASSES, (1, 5, 2, 2))[0],
                "minutes": max(10, round(draw.gauss(60, 18))),
            }
        )
    return found


def signed_up(draw: random.Random, person: dict[str, object]) -> str:
    """Yes is likelier for keen people, for those a friend brought, and for Plus."""
    keen = float(str(person["keen"]))
    chance = -1.2 + 1.1 * keen + 0.8 * (person["heard_from"] == "friend") + 0.4 * (person["plan"] == "Plus")
    return "yes" if draw.random() < 1 / (1 + 2.718281828**-chance) else "no"


def write(path: Path, rows: list[dict[str, object]]) -> None:
    """Write rows as CSV."""
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def main() -> None:
    """Draw the two files, with the errors that real exports have."""
    draw = random.Random(11)  # noqa: S311 - a made-up gym needs no secret
    rows = people(draw)
    made = sorted((v for p in rows for v in visits(draw, p)), key=lambda v: (str(v["entered_at"]), str(v["trial_no"])))
    for row in rows:
        row["signed_up"] = signed_up(draw, row)
        del row["keen"]
    for number in (311, 1204):
        rows[number]["plan"] = "Famly"
    for number in (77, 640, 1999):
        rows[number]["age"] = "unknown age"
    write(HERE / "trials.csv", rows)
    write(HERE / "visits.csv", made)


if __name__ == "__main__":
    main()
