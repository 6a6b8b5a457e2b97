"""Which version was in production when, the way back, and what happens where ledger and alias do not agree."""

from datetime import datetime, timedelta

import numpy as np
import pytest

from pipelines.core.errors import Busy, ConfigError, NotReady, UnsafeModel
from pipelines.core.tenant import Tenant
from pipelines.promotion.promote import promote
from pipelines.registry import standing as module
from pipelines.registry.champion import load_champion, load_version
from pipelines.registry.history import history, rollback
from pipelines.registry.ledger import Ledger
from pipelines.registry.rulings import withdrawn
from pipelines.registry.standing import mend, standing
from pipelines.registry.status import model_status
from pipelines.registry.tracking import CHAMPION, connect, version_of
from tests.gates import easy
from tests.pipelines.registry.conftest import Recorder, rows, training_set

TARGET, NAME = "conversion", "demo.conversion"


@pytest.fixture(autouse=True)
def promoted(tenant: Tenant, recorder: Recorder) -> None:
    """Three versions, promoted one after the other."""
    for number in range(3):
        recorder(training_set(600, seed=number), digest=f"d{number}", only="linear")
        promote(easy(tenant), tenant.whole_run)


def versions(tenant: Tenant) -> list[str]:
    return [entry.version for entry in Ledger(tenant).entries(TARGET)]


def alias(tenant: Tenant) -> str:
    return str(connect(tenant).get_model_version_by_alias(NAME, CHAMPION).version)


def move(tenant: Tenant, version: str) -> None:
    connect(tenant).set_registered_model_alias(NAME, CHAMPION, version)


def test_history_tells_who_was_in_production_at_any_instant(tenant: Tenant) -> None:
    rollback(tenant, TARGET, "opt-outs doubled", by="ana")
    known = history(tenant)
    assert [(entry.version, entry.previous, entry.action) for entry in known] == [
        ("1", None, "promote"), ("2", "1", "promote"), ("3", "2", "promote"), ("2", "3", "rollback"),
    ]  # fmt: skip
    assert [entry.seq for entry in known] == [1, 2, 3, 4]
    assert (known[-1].by, known[-1].why) == ("ana", "opt-outs doubled")
    moment = timedelta(microseconds=1)
    for entry, before in zip(known, [[], *[[entry] for entry in known]], strict=False):
        assert history(tenant, TARGET, entry.at) == [entry]
        assert history(tenant, TARGET, entry.at - moment) == before
    assert history(tenant, TARGET, datetime(2100, 1, 1)) == known[-1:]


def test_a_rollback_gives_exactly_the_scores_of_that_version(tenant: Tenant) -> None:
    asked = rows(200, 9, 2.0)
    client = connect(tenant)
    before = load_version(tenant, TARGET, version_of(client, NAME, "2")).predict(asked)
    assert not np.array_equal(load_champion(tenant, TARGET).predict(asked), before)
    rollback(tenant, TARGET, "opt-outs doubled")
    assert alias(tenant) == "2"
    assert np.array_equal(load_champion(tenant, TARGET).predict(asked), before)
    assert model_status(tenant)[TARGET]["production"]["why"] == "opt-outs doubled"
    tags = dict(client.get_model_version(NAME, "3").tags)
    assert (tags["promotion"], tags["promotion.reason"]) == ("taken back", "opt-outs doubled")


def test_going_back_again_does_not_return_to_what_was_taken_back(tenant: Tenant) -> None:
    rollback(tenant, TARGET, "first")
    rollback(tenant, TARGET, "second")
    assert versions(tenant) == ["1", "2", "3", "2", "1"]
    with pytest.raises(NotReady, match="has no earlier champion of 'conversion' to go back to: `leadwise history"):
        rollback(tenant, TARGET, "third")
    rollback(tenant, TARGET, "the known one after all", to="3")
    assert (alias(tenant), load_champion(tenant, TARGET).version) == ("3", "3")


def test_the_same_again_changes_nothing(tenant: Tenant) -> None:
    for _ in range(2):
        report = rollback(tenant, TARGET, "opt-outs doubled", to="1")
    assert "version 1 of demo.conversion is the champion already: nothing changed" in report.notes[-1]
    assert (versions(tenant), alias(tenant)) == (["1", "2", "3", "1"], "1")


def test_a_number_may_be_written_otherwise(tenant: Tenant) -> None:
    rollback(tenant, TARGET, "opt-outs doubled", to="01")
    assert (versions(tenant), alias(tenant)) == (["1", "2", "3", "1"], "1")
    assert standing(tenant, TARGET).problem(tenant) is None


def test_whoever_means_a_decision_that_is_no_longer_in_force_changes_nothing(tenant: Tenant) -> None:
    with pytest.raises(Busy, match="somebody decided on 'conversion' of tenant 'demo' meanwhile"):
        rollback(tenant, TARGET, "for what version 2 did", seen=2)
    assert versions(tenant) == ["1", "2", "3"]


def test_one_that_was_left_for_a_version_that_never_ruled_is_taken_back(tenant: Tenant, recorder: Recorder) -> None:
    recorder(training_set(600, seed=9), digest="d9", only="linear")
    rollback(tenant, TARGET, "the newest one", to="4")
    assert set(withdrawn(Ledger(tenant).entries(TARGET))) == {"3"}
    rollback(tenant, TARGET, "the one we know", to="2")
    assert set(withdrawn(Ledger(tenant).entries(TARGET))) == {"3", "4"}


def test_a_version_that_mlflow_lost_is_a_sentence_and_rollback_the_way_out(tenant: Tenant) -> None:
    connect(tenant).delete_model_version(NAME, "3")
    assert "has no version 3 in MLflow" in model_status(tenant)[TARGET]["problem"]
    with pytest.raises(NotReady, match="has no version 3 in MLflow"):
        load_champion(tenant, TARGET)
    rollback(tenant, TARGET, "MLflow lost it", to="2")
    assert load_champion(tenant, TARGET).version == "2"


def test_bad_words_are_one_sentence(tenant: Tenant) -> None:
    with pytest.raises(ConfigError, match="needs a reason"):
        rollback(tenant, TARGET, " ")
    with pytest.raises(NotReady, match="has no version 77"):
        rollback(tenant, TARGET, "why", to="77")
    assert versions(tenant) == ["1", "2", "3"]


def test_a_version_whose_files_changed_since_is_not_put_back(tenant: Tenant) -> None:
    _, file, _ = sorted(tenant.settings.mlflow_dir.rglob("linear.json"), key=lambda one: one.stat().st_mtime)
    file.write_text(file.read_text() + " ")
    with pytest.raises(UnsafeModel, match=r"version 2 of demo[.]conversion has other files than those"):
        rollback(tenant, TARGET, "why")
    assert (versions(tenant), alias(tenant)) == (["1", "2", "3"], "3")


def test_an_alias_moved_by_hand_is_not_followed_and_status_says_so(tenant: Tenant) -> None:
    move(tenant, "1")
    assert load_champion(tenant, TARGET).version == "3"
    said = model_status(tenant)[TARGET]["problem"]
    assert said == standing(tenant, TARGET).problem(tenant)
    assert (
        "version 1 bears the alias 'champion', and the ledger knows version 3, which is the one that is loaded" in said
    )
    assert mend(tenant, [TARGET]) == [said]  # no decision is guessed
    assert alias(tenant) == "1"
    report = rollback(tenant, TARGET, "somebody moved it", to="3")
    assert "the alias is back at version 3" in report.notes[0]
    assert (alias(tenant), versions(tenant)) == ("3", ["1", "2", "3"])
    assert model_status(tenant)[TARGET]["problem"] is None


def test_an_alias_without_any_row_is_not_loaded(tenant: Tenant) -> None:
    name = tenant.model_name("churn")
    client = connect(tenant)
    client.create_registered_model(name)
    source = version_of(client, NAME, "1")
    client.create_model_version(name, source.source, source.run_id, tags=dict(source.tags))
    client.set_registered_model_alias(name, CHAMPION, "1")
    with pytest.raises(NotReady, match="version 1 bears the alias 'champion' without a row of the ledger, and is not"):
        load_champion(tenant, "churn")


@pytest.mark.parametrize("lost", ["alias", "tag"])
def test_a_move_that_was_cut_short_is_ended_by_whoever_comes_next(tenant: Tenant, monkeypatch, lost: str) -> None:
    """The ledger's row is written, and the process dies before the alias, or before the tag that tells of it."""

    class KilledError(BaseException):
        pass

    def dies(tenant, entry) -> None:
        if lost == "tag":
            move(tenant, entry.version)
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(module, "show", dies)
        with pytest.raises(KilledError):
            rollback(tenant, TARGET, "opt-outs doubled")
    assert load_champion(tenant, TARGET).version == "2"  # the ledger counts
    assert "was cut short before the alias was moved" in model_status(tenant)[TARGET]["problem"]
    assert mend(tenant, [TARGET]) == ["'conversion': the alias of version 2 was moved, which had been cut short"]
    assert (alias(tenant), standing(tenant, TARGET).problem(tenant)) == ("2", None)
    assert mend(tenant, [TARGET]) == []


@pytest.mark.local
def test_a_row_changed_by_hand_loads_nothing(tenant: Tenant) -> None:
    import sqlite3

    with sqlite3.connect(tenant.home / "catalog.db") as connection:
        triggers = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")]
        for name in triggers:
            connection.execute(f'DROP TRIGGER "{name}"')
        connection.execute("UPDATE leadwise_ledger SET version = '1' WHERE seq = 3")
    with pytest.raises(Exception, match=r"row 3 of the ledger of tenant 'demo'.* was changed by hand"):
        load_champion(tenant, TARGET)
