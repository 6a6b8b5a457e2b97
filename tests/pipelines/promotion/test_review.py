"""A person's word on a challenger that passed the gate."""

from dataclasses import replace

import pytest

from pipelines.core.errors import ConfigError, NotReady, UnsafeModel
from pipelines.core.tenant import Tenant
from pipelines.promotion.promote import promote
from pipelines.promotion.review import answer, questions, settle, waiting
from pipelines.registry.champion import load_champion
from pipelines.registry.history import rollback
from pipelines.registry.ledger import Ledger
from pipelines.registry.status import model_status
from pipelines.registry.tracking import connect
from tests.gates import easy
from tests.pipelines.registry.conftest import Recorder, training_set

TARGET = "conversion"


@pytest.fixture
def asking(tenant: Tenant) -> Tenant:
    """A tenant whose models a person decides on."""
    made = easy(tenant)
    promotion = made.params.promotion.model_copy(update={"review": "human"})
    return replace(made, params=made.params.model_copy(update={"promotion": promotion}))


def challenged(tenant: Tenant, recorder: Recorder, digest: str = "d1") -> None:
    recorder(training_set(1500), digest=digest, only="linear")
    promote(tenant, tenant.whole_run)


def tags(tenant: Tenant, version: str) -> dict[str, str]:
    return dict(connect(tenant).get_model_version(tenant.model_name(TARGET), version).tags)


def test_one_that_passed_waits_and_nothing_is_in_production(asking: Tenant, recorder: Recorder) -> None:
    recorder(training_set(1500), only="linear")
    report = promote(asking, asking.whole_run)
    assert "version 1 of demo.conversion passed the gate and waits for a person" in report.notes[0]
    assert "`leadwise approve --tenant demo --target conversion --reason …`" in report.notes[1]
    assert Ledger(asking).entries(TARGET) == []
    with pytest.raises(NotReady, match="version 1 waits for a person: `leadwise approve"):
        load_champion(asking, TARGET)
    found = waiting(asking, TARGET)
    assert found is not None
    assert str(found.version) == "1"
    assert model_status(asking)[TARGET]["waiting"] == "1"


def test_the_question_holds_the_evidence_and_the_links(asking: Tenant, recorder: Recorder) -> None:
    challenged(asking, recorder)
    [asked] = questions(asking, asking.target())
    assert asked.subject == "demo.conversion: version 1 passed the gate"
    for check in ("holdout", "base rate", "linear model", "calibration", "reproduction"):
        assert f"| {check} | passed |" in asked.body
    assert "[Verdict](/#/experiments/" in asked.body
    assert "[Model card](/#/experiments/" in asked.body
    assert "{{" not in asked.body


def test_approve_leaves_who_and_why(asking: Tenant, recorder: Recorder) -> None:
    challenged(asking, recorder)
    report = answer(asking, TARGET, True, "seen the page", by="ana")
    assert "version 1 of demo.conversion is promoted by ana: seen the page" in report.notes[0]
    [entry] = Ledger(asking).entries(TARGET)
    assert (entry.by, entry.why, entry.evidence["review"]) == ("ana", "seen the page", "human")
    assert entry.evidence["verdict"] == tags(asking, "1")["gate.id"]
    assert load_champion(asking, TARGET).version == "1"
    assert (tags(asking, "1")["promotion"], tags(asking, "1")["promotion.by"]) == ("promoted", "ana")
    assert "nothing changed" in answer(asking, TARGET, True, "again", version="1", by="ana").notes[0]
    assert len(Ledger(asking).entries(TARGET)) == 1


def test_reject_leaves_who_and_why_and_nobody_is_asked_again(asking: Tenant, recorder: Recorder) -> None:
    challenged(asking, recorder)
    report = answer(asking, TARGET, False, "the south is too thin", by="ana")
    assert "is rejected by ana: the south is too thin" in report.notes[0]
    told = tags(asking, "1")
    assert (told["promotion"], told["promotion.by"], told["promotion.reason"]) == (
        "rejected", "ana", "the south is too thin",
    )  # fmt: skip
    assert Ledger(asking).entries(TARGET) == []
    assert questions(asking, asking.target()) == []
    again = promote(asking, asking.whole_run)
    assert "was rejected by ana: the south is too thin" in again.notes[0]
    assert "nothing changed" in answer(asking, TARGET, False, "still", version="1").notes[0]


def test_what_was_judged_against_another_champion_is_judged_again(asking: Tenant, recorder: Recorder) -> None:
    challenged(asking, recorder)
    answer(asking, TARGET, True, "first")
    challenged(asking, recorder, "d2")
    answer(asking, TARGET, True, "second")
    challenged(asking, recorder, "d3")
    rollback(asking, TARGET, "opt-outs doubled")
    with pytest.raises(NotReady, match="was judged while the champion was version 2, which is version 1 now: run"):
        answer(asking, TARGET, True, "third")
    assert load_champion(asking, TARGET).version == "1"


def test_of_two_that_waited_the_other_is_superseded(asking: Tenant, recorder: Recorder) -> None:
    challenged(asking, recorder)
    challenged(asking, recorder, "d2")
    answer(asking, TARGET, True, "the newer one")
    assert load_champion(asking, TARGET).version == "2"
    assert tags(asking, "1")["promotion"] == "superseded"
    assert questions(asking, asking.target()) == []
    late = {"target": TARGET, "version": "1", "approve": True, "reason": "late", "by": "ana"}
    assert "was decided on elsewhere: nothing changed" in settle(asking, asking.whole_run, [late]).notes[0]
    assert load_champion(asking, TARGET).version == "2"


def test_words_without_a_reason_or_a_question_are_refused(asking: Tenant, recorder: Recorder) -> None:
    with pytest.raises(NotReady, match="no version of 'conversion' of tenant 'demo' waits for a person"):
        answer(asking, TARGET, True, "why not")
    challenged(asking, recorder)
    with pytest.raises(ConfigError, match="needs a reason: say it with --reason"):
        answer(asking, TARGET, True, "  ")
    recorder(training_set(1500, seed=1), digest="d2", only="linear")
    with pytest.raises(ConfigError, match="version 2 of 'conversion' does not wait for a person: version 1 does"):
        answer(asking, TARGET, True, "that one", version="2")
    with pytest.raises(NotReady, match="has no version 9"):
        answer(asking, TARGET, True, "that one", version="9")


def test_files_that_changed_while_they_waited_are_not_promoted(asking: Tenant, recorder: Recorder) -> None:
    challenged(asking, recorder)
    [file] = asking.settings.mlflow_dir.rglob("linear.json")
    file.write_text(file.read_text() + " ")
    with pytest.raises(UnsafeModel, match="has other files than those"):
        answer(asking, TARGET, True, "seen the page")
    assert Ledger(asking).entries(TARGET) == []


def test_several_answers_do_not_hold_each_other_up(asking: Tenant, recorder: Recorder) -> None:
    challenged(asking, recorder)
    said = {"reason": "seen", "by": "ana"}
    given = [
        {"target": "churn", "version": "4", "approve": True, **said},
        {"target": TARGET, "version": "1", "approve": True, **said},
    ]
    with pytest.raises(NotReady, match="version 4"):
        settle(asking, asking.whole_run, given)
    assert load_champion(asking, TARGET).version == "1"
    assert "nothing changed" in settle(asking, asking.whole_run, given[1:]).notes[0]
    assert "nobody was asked" in settle(asking, asking.whole_run, []).notes[0]
