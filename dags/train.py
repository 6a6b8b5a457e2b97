"""Airflow DAG `<tenant>_train`: candidates are trained on what is known by then, and what passes the gate is champion.

Starts when features have new rows. `train` registers the best candidate as `challenger`; the gate judges it on rows
that neither it nor the champion learnt from, and writes a page, tags and reasons. With `promotion.review: human` the
run then waits in `review`, one question for each model that passed, until a person approves or rejects it, and why.
"""

from airflow.sdk import get_current_context, task

from dags.factory import asset, step, tenants, workflow
from pipelines.core.interval import Interval
from pipelines.core.report import Report
from pipelines.core.tenant import Tenant


def _questions(tenant: str) -> list[dict[str, str]]:
    """What a person is asked: a question for each model that passed the gate."""
    from dataclasses import asdict

    from pipelines.promotion.review import questions

    whose = Tenant.load(tenant)
    return [asdict(one) for one in questions(whose, whose.target())]


for _tenant in tenants():
    _features, _champion = asset(_tenant, "features"), asset(_tenant, "champion")
    with workflow(_tenant, "train", schedule=[_features], doc=__doc__):

        @step(_tenant, inlet=_features)
        def train(tenant: Tenant, interval: Interval) -> Report:
            """Fit every candidate of every target and register the challenger."""
            from pipelines.train.step import train as train_step

            return train_step(tenant, interval)

        if _tenant.params.promotion.review == "auto":

            @step(_tenant, inlet=_features, outlet=_champion)
            def promote(tenant: Tenant, interval: Interval) -> Report:
                """Judge the challenger by the gate, and move the alias `champion` if it passed."""
                from pipelines.promotion.promote import promote as promote_step

                return promote_step(tenant, interval)

            train() >> promote()
            continue

        from dags.review import FORM, Review, answers

        @step(_tenant, inlet=_features)
        def judge(tenant: Tenant, interval: Interval) -> Report:
            """Judge the challenger by the gate; one that passed waits for a person."""
            from pipelines.promotion.promote import promote as promote_step

            return promote_step(tenant, interval)

        _asked = task(task_id="ask", doc_md="Reads which versions wait, and why they passed.")(_questions)(_tenant.name)
        review = Review.partial(task_id="review", params=FORM, map_index_template="{{ task.subject }}").expand_kwargs(
            _asked.map(lambda one: {"subject": one["subject"], "body": one["body"]})
        )

        @step(_tenant, inlet=_features, outlet=_champion, last=True, trigger_rule="none_failed")
        def promote(tenant: Tenant, interval: Interval) -> Report:
            """Write down what was answered, and move the alias `champion` where it was approved."""
            from pipelines.promotion.review import settle

            instance = get_current_context()["ti"]
            asked = instance.xcom_pull(task_ids="ask") or []
            given = [one for one in (instance.xcom_pull(task_ids="review", map_indexes=range(len(asked))) or []) if one]
            return settle(tenant, interval, answers(asked, given))

        train() >> judge() >> _asked
        review >> promote()
