"""A promotion killed between any two of its writes: the next start ends it, and nothing contradicts anything."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from mlflow import MlflowClient

from pipelines.core.tenant import Tenant
from pipelines.promotion.promote import promote
from pipelines.registry.champion import load_champion
from pipelines.registry.history import rollback
from pipelines.registry.ledger import Ledger
from pipelines.registry.standing import mend, standing
from pipelines.registry.tracking import CHAMPION, connect
from tests.gates import easy
from tests.pipelines.registry.conftest import Recorder, training_set

TARGET, NAME = "conversion", "demo.conversion"
WRITES = [
    (MlflowClient, "log_artifacts"),
    (MlflowClient, "set_model_version_tag"),
    (MlflowClient, "set_registered_model_alias"),
    (MlflowClient, "set_registered_model_tag"),
    (MlflowClient, "update_model_version"),
    (Ledger, "_insert"),
]


class KilledError(BaseException):
    """What no code of ours catches, as nobody catches a kill."""


@contextmanager
def killed_after(writes: int) -> Iterator[list[str]]:
    """Die before the write after so many; tells what was written."""
    done: list[str] = []

    def counted(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def write(*given: Any, **named: Any) -> Any:
            if len(done) == writes:
                raise KilledError
            done.append(name)
            return real(*given, **named)

        return write

    with pytest.MonkeyPatch.context() as patch:
        for owner, name in WRITES:
            patch.setattr(owner, name, counted(name, getattr(owner, name)))
        yield done


def survives(work: Callable[[], object], writes: int) -> tuple[bool, list[str]]:
    """Whether `work` came to its end before it was killed, and what it wrote."""
    with killed_after(writes) as done:
        try:
            work()
        except KilledError:
            return False, done
    return True, done


def agree(tenant: Tenant) -> None:
    """What is loaded is what the ledger says, and its alias and words too."""
    entry = Ledger(tenant).entries(TARGET)[-1]
    client = connect(tenant)
    assert load_champion(tenant, TARGET).version == entry.version
    assert str(client.get_model_version_by_alias(NAME, CHAMPION).version) == entry.version
    assert client.get_model_version(NAME, entry.version).tags["promotion"] == "promoted"
    assert standing(tenant, TARGET).problem(tenant) is None


def between(done: list[str]) -> list[int]:
    """How many writes come before each that is of another kind than the one before it."""
    return [at for at, name in enumerate(done) if at == 0 or name != done[at - 1] or name == "_insert"]


def test_a_promotion_killed_between_its_writes(tenant: Tenant, recorder: Recorder) -> None:
    """One challenger after the other, each killed somewhat later."""
    whose = easy(tenant)

    def challenge(number: int) -> None:
        recorder(training_set(600, seed=number), digest=f"d{number}", only="linear")

    for number in range(2):
        challenge(number)
        whole, done = survives(lambda: promote(whose, whose.whole_run), 1000)
        assert whole
    assert done.index("_insert") < done.index("set_registered_model_alias") < done.index("set_registered_model_tag")
    kills = [*between(done), len(done) - 1]
    assert len(kills) >= 6
    for number, writes in enumerate(kills, 2):
        challenge(number)
        whole, cut = survives(lambda: promote(whose, whose.whole_run), writes)
        assert (whole, cut) == (False, done[:writes])
        known = Ledger(whose).entries(TARGET)
        assert load_champion(whose, TARGET).version == known[-1].version  # in between, too
        mend(whose, [TARGET])  # as score and monitor begin
        assert standing(whose, TARGET).problem(whose) is None
        promote(whose, whose.whole_run)
        agree(whose)
        assert [entry.version for entry in Ledger(whose).entries(TARGET)] == [str(i + 1) for i in range(number + 1)]
        assert len(Ledger(whose).looks(TARGET)) == number + 1


def test_a_rollback_killed_before_each_of_its_writes(tenant: Tenant, recorder: Recorder) -> None:
    whose = easy(tenant)
    for number in range(2):
        recorder(training_set(600, seed=number), digest=f"d{number}", only="linear")
        promote(whose, whose.whole_run)
    whole = False
    for writes in range(30):
        here = Ledger(whose).entries(TARGET)[-1].version
        other = "1" if here == "2" else "2"
        whole, _ = survives(lambda to=other: rollback(whose, TARGET, "why", to=to), writes)
        mend(whose, [TARGET])
        entry = Ledger(whose).entries(TARGET)[-1]
        assert entry.version in (here, other)
        assert load_champion(whose, TARGET).version == entry.version
        assert standing(whose, TARGET).problem(whose) is None
        if whole:
            break
    assert whole
